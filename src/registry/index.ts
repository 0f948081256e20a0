export { Agent, AgentDraft, type AgentDraftInput, type AgentInput, Authentication, Ceiling, Status } from './agent.js';
export { orphansAmong, stopOrphans } from './orphans.js';
export { type AccountablePeople, personIdIn, type PersonName, personNameOf } from './people.js';
export { AcceptedToken, TrustedIssuer, type TrustedIssuerInput } from './issuer.js';
export type {
  ListedTools,
  ReadingFlaw,
  ReadingFlawCode,
  RegistryChange,
  RegistryReader,
  RegistryWriter,
  RetiringKey,
  ToolsReader,
} from './ports.js';
export { McpServer, type McpServerInput, TokenShape } from './server.js';
export {
  CLIENT_PROOFS,
  type ClientProof,
  isUsable,
  makeSnapshot,
  type PolicyFiles,
  type RegisteredAgent,
  type RegisteredServer,
  type RegistrySnapshot,
  unusableActor,
  weakestProof,
} from './snapshot.js';
export { placeholdersOf, Tool, type ToolInput, toolState, type ToolState, withReview } from './tool.js';
export { DefinitionChange, definitionDifference } from './definition-difference.js';
export { Finding, findingsIn, textsIn } from './findings.js';
export { sentenceFor, sentenceOf } from './sentence.js';
export {
  beyond,
  beyondBeside,
  type Right,
  rightName,
  type RightsUse,
  type Taken,
  type TakenBeside,
  unusedBeside,
  unusedOf,
  withoutRights,
} from './rights.js';
export { keyEnd, type KeyLife, type KeyLives, type NamedKey } from './key-life.js';
export { visible } from './visible.js';
export { Word, wordsOf } from './words-difference.js';
export { IMPORT_RESULTS, type Import, type ImportedTool, type ImportResult, importTools } from './import-tools.js';
export { cutOffs } from './cut-offs.js';
export { type Naming, namesUs, typOf } from './brought.js';
export { isNarrowed } from './narrowing.js';
export { withPending } from './pending.js';
export { proposeTool } from './propose.js';
export { type DefinitionReport, type Reported, withoutReport, withReport } from './report.js';
