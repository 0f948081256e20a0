export type { LogEntry, LogFilter, LogPage, LogReader } from './ports.js';
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
