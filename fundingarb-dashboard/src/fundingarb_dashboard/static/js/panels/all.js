// Every panel of the desk, by name.

import { makeActions } from "./actions.js";
import { makeAlerts } from "./alerts.js";
import { makeAudit } from "./audit.js";
import { makeCalculator } from "./calculator.js";
import { makeCharts } from "./charts.js";
import { makeConfig } from "./config.js";
import { makeEngine } from "./engine.js";
import { makeEntry } from "./entry.js";
import { makeHistory } from "./history.js";
import { makeOpportunities } from "./opportunities.js";
import { makeOrders } from "./orders.js";
import { makePnl } from "./pnl.js";
import { makePositions } from "./positions.js";
import { makeRates } from "./rates.js";
import { makeSimulation } from "./simulation.js";

/** `run(command)` lets a panel ask for what another one shows. */
export const makePanels = (run) => ({
  pnl: makePnl(),
  rates: makeRates(run),
  positions: makePositions(),
  opportunities: makeOpportunities(run),
  orders: makeOrders(),
  history: makeHistory(),
  charts: makeCharts(),
  calculator: makeCalculator(run),
  config: makeConfig(),
  simulation: makeSimulation(),
  audit: makeAudit(),
  engine: makeEngine(),
  actions: makeActions(),
  entry: makeEntry(),
  alerts: makeAlerts(run),
});
