"""What the core package brings itself, through the same hooks as any other plugin."""
