export {
  askWitness,
  type Cosignature,
  type PostText,
  type Submission,
  type Witness,
  type WitnessFlaw,
} from './witness.js';
export { bundleRoute } from './bundle-route.js';
export {
  type BundleAbout,
  type BundleAsked,
  type BundleSource,
  type EntryFinder,
  type IndexPage,
  makeBundle,
} from './bundle.js';
export type { Access, AccessFailures, AccessLog } from './access.js';
export { type Reader, type ReaderDigests, readerDigests, readerOf } from './auditor.js';
export { harmless } from './harmless.js';
export { auditRoute, type Reading, type ReadingDeps } from './reading.js';
export type { EventFilter, EventFinder, EventPage, FoundEntry, SearchIndexer } from './event-ports.js';
export { eventOf, EventQuery, eventsRoute, filterOf } from './events.js';
export { type Deed, type DeedPage, deedOf, type Deeds, type DeedTarget } from './deeds.js';
export { follow, type Following } from './follow.js';
export { hourKey, inheritedKeys, type Searched, searchKeys, txnKey } from './search-keys.js';
export { changeOf } from './difference.js';
export { leafFlaws, RecordSchema, schemaRoute } from './schema.js';
export { type ExportFormat, exportRoute, lineOf } from './export.js';
export { type LogConsumers, webhook, type WebhookDeps } from './webhook.js';
export { drawMermaid, drawText } from './draw.js';
export { Trace, type Traced, type TraceEvent, traceOf } from './trace.js';
export { transactionRoute, type TransactionSources } from './transaction.js';
export { type LogSigner, logSigner, originOf, type OwnCheckpoint, type Recovery } from './log-signer.js';
export { Sequencer, type SequencerDeps, type Step } from './sequencer.js';
export { calmTree } from './calm-tree.js';
export { treeRoutes } from './tree-routes.js';
export {
  type Announcement,
  type Reach,
  retention,
  type RetentionDeps,
  type RetentionState,
  type RetentionStore,
} from './retention.js';
export type {
  Append,
  CheckpointMemory,
  KnownVerifierKey,
  LogRecovery,
  Remembered,
  StoredCheckpoint,
  Tail,
  TreeEntry,
  TreeReader,
  TreeState,
  TreeWriter,
  Waiting,
} from './tree-ports.js';
export {
  MAX_OUTCOMES,
  OutcomeFlaw,
  permitFactsOf,
  type PermitFacts,
  ReportedOutcome,
  type StoredPermit,
} from './outcome.js';
export { type OutcomesDeps, outcomesRoute } from './outcomes.js';
export type {
  KeptOutcome,
  KnownPerson,
  LogEntry,
  LogFilter,
  LogPage,
  LogReader,
  NewOutcome,
  Opening,
  OutcomeBatch,
  OutcomeLog,
  PersonNames,
} from './ports.js';
export {
  closeRecord,
  KEPT_KINDS,
  leafHash,
  LogRecord,
  Outcome,
  readRecord,
  type RecordHead,
  recordHead,
  RecordKind,
} from './record.js';
export {
  type EndedSession,
  keepSessionLife,
  sessionLifeParts,
  type NumberedRecord,
  sessionClosesAfter,
  type SessionLife,
  type Unnumbered,
} from './session-life.js';
export {
  type Expectation,
  type Finding,
  finding,
  FindingKind,
  type FindingStore,
  type SeenEntry,
  type UseCount,
} from './findings.js';
export { type AgentStore, DUE, lookForFindings } from './look.js';
export { type Mark, rightsUsedBy, type RightUse } from './rights-used.js';
export { type FindingFilter, type FindingReader, findingsRoute, type FoundFinding } from './findings-route.js';
