export { type Database, type DatabaseOptions, openDatabase } from './database.js';
export { guarded, isOutage } from './outage.js';
export { openKeys } from './key-store.js';
export { openPersons, Person, type PersonStore } from './person-store.js';
export { openRegistry, type RegistryStore } from './registry-store.js';
export type { RecordedChange, RecordOf, RegistryWriting } from './registry-writes.js';
export { openEngineStore } from './engine-store.js';
export { revoke } from './revocations.js';
