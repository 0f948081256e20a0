/**
 * An outage or a bug, never a refusal: it is thrown, becomes a 5xx, and must never read as `invalid_grant`.
 * `code` is stable and documented; the message is for operators and never reaches a client.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  constructor(code: FaultCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Everything that can be down. */
export type FaultCode =
  | 'database_unavailable'
  | 'registry_unsettled'
  | 'keys_unavailable'
  | 'issuer_keys_unavailable'
  | 'decision_point_unavailable'
  | 'policy_broken'
  | 'log_rejected'
  | 'log_inconsistent'
  | 'webhook_unavailable'
  | 'overloaded'
  | 'configuration_invalid'
  | 'data_directory_in_use'
  | 'schema_mismatch'
  | 'registry_unreadable'
  | 'internal';
