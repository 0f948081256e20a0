export { type Database, type DatabaseOptions, openDatabase } from './database.js';
export { guarded, isOutage } from './outage.js';
