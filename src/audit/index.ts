export type { Access, AccessLog } from './access.js';
export { type Reader, type ReaderDigests, readerDigests, readerOf } from './auditor.js';
export { auditRoute, harmless, type Reading, type ReadingDeps } from './reading.js';
export type { LogEntry, LogFilter, LogPage, LogReader } from './ports.js';
export { transactionRoute } from './transaction.js';
export {
  closeRecord,
  leafHash,
  LogRecord,
  Outcome,
  readRecord,
  type RecordHead,
  recordHead,
  RecordKind,
} from './record.js';
