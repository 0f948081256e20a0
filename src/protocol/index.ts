export { McpToolCall, McpToolCalls, MOST_TOOLS } from './authorization-details.js';
export { Amount, Budget, Budgets, AccountScope, BudgetScope, BudgetState, BudgetUnit, Currency } from './budget.js';
export { companySession, companySessionTarget } from './company-session.js';
export { personCommitment, type PersonName } from './person-commitment.js';
export { type CanonicalFlaw, canonicalize, digest, parseArguments, parseExact, sha256 } from './canonical.js';
export { recordKey } from './record-key.js';
export {
  Act,
  Actor,
  CallChain,
  clientOf,
  Confirmation,
  Digest,
  flattenAct,
  Identifier,
  Instant,
  isTransactional,
  MAX_CHAIN,
  MayAct,
  nestAct,
  PersonsAccessToken,
  PersonalBudget,
  Receipt,
  RequestContext,
  TransactionalAccessToken,
  TransactionContext,
  TransactionToken,
} from './claims.js';
export { isSecureUrl, Issuer, ServerMetadata, wellKnown } from './discovery.js';
export { DPOP_WINDOW, type DpopFlaw, type DpopProof, thumbprint, verifyProof } from './dpop.js';
export { OAUTH_ERRORS, type OAuthErrorBody, type OAuthErrorCode, type PolicyAdvice } from './errors.js';
export {
  ENTRY_LIFE,
  FEED_PATH,
  FEED_TYP,
  FeedAnswer,
  FeedBatch,
  FeedEntry,
  type FeedFlaw,
  feedId,
  feedTarget,
  HEARTBEAT_MS,
  MAX_BATCH_ENTRIES,
  MAX_BATCH_LENGTH,
  parseBatch,
  targetsOf,
} from './feed.js';
export { type Answer, type FormRequest, tooManyRequests } from './http.js';
export { type Notes, type Step, type Trace, untraced } from './http.js';
export { copyJson, isObject, type Json, type JsonFlaw, type JsonObject, parseObject, parseStrict } from './json.js';
export { readJsonLoosely, type Writable } from './json.js';
export {
  candidates,
  importKey,
  type Jws,
  type JwsFlaw,
  Jwks,
  type KeyFlaw,
  MAX_TOKEN_LENGTH,
  parseJws,
  PublicJwk,
  type VerificationKey,
  verifySignature,
} from './jws.js';
export { memberText } from './member.js';
export {
  JWT_BEARER_ASSERTION,
  KEY_ROTATION_PATH,
  MCP_TOOL_CALL,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
  DEFERRAL_CODE,
  DEFERRAL_CODE_TYPE,
  DEFERRED_GRANT,
  TOKEN_EXCHANGE_GRANT,
  TokenType,
  Typ,
} from './names.js';
export {
  clientAssertion,
  type ClientKey,
  dpopProof,
  importClientKey,
  keyRotation,
  PrivateJwk,
  type ProofOf,
} from './signing.js';
export { SessionState } from './session-state.js';
export { definitionDigest, definitionOf, listedPin, ToolDefinition } from './tool-definition.js';
export { watchToolsList } from './tools-list.js';
export {
  ActionClass,
  ClientId,
  DataClass,
  formatScope,
  isLoopback,
  isPlainText,
  parseScope,
  ResourceUri,
  ScopeToken,
  Text,
  GroupName,
  Tier,
  ToolName,
} from './words.js';
export { webhookHeaders } from './webhook.js';
