export { type Clock, type Seconds, systemClock } from './clock.js';
export { Fault, type FaultCode } from './fault.js';
export { gathered } from './gathered.js';
export { newId, randomBytes, randomName, randomText } from './ids.js';
export { perObject } from './per-object.js';
export { type InTurn, turns } from './turns.js';
export { type Err, err, type Ok, ok, type Result } from './result.js';
