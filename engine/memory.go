package engine

// GCPercent is how much garbage the heap of an agent's process may hold before it is collected, in percent of what is in use: twice of what Go has by itself, since each collection goes
// through all flows, at the expense of first packets. Who runs an agent sets it, unless the environment has GOGC.
const GCPercent = 200
