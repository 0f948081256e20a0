import { delegate, type Delegation, type Presenter, type Subject, type Wanted } from '../../src/delegation/index.js';

export const ISS = 'https://writ.example';
export const NOW = 1_795_305_600;
export const RS = 'https://mcp.example/files';

/** A person's access token of agt_a, alive for ten minutes. Break one thing of it. */
export const subject = (changes: Partial<Subject> = {}): Subject => ({
  kind: 'person',
  person: { id: 'prs_1', issuer: undefined, subject: undefined, attributes: {} },
  exchangeableBy: 'agt_a',
  rootAgent: 'agt_a',
  scopes: ['files:read', 'files:write'],
  actors: [],
  callChain: [],
  details: undefined,
  context: { task: undefined, purpose: undefined },
  transaction: undefined,
  run: { key: 'grant 1' },
  expiresAt: NOW + 600,
  issuedSince: NOW,
  acr: undefined,
  amr: undefined,
  authTime: undefined,
  jkt: undefined,
  mustBind: false,
  mayAct: undefined,
  lineage: ['token:1'],
  recordedAs: undefined,
  ...changes,
});

export const presenter = (clientId = 'agt_a', changes: Partial<Presenter> = {}): Presenter => ({
  clientId,
  kind: 'agent',
  actor: { sub: clientId, iss: ISS, sub_profile: 'ai_agent' },
  workload: clientId,
  jkt: undefined,
  expiresAt: undefined,
  ...changes,
});

export const server = (changes: Partial<Presenter> = {}): Presenter =>
  presenter('srv_files', {
    kind: 'server',
    actor: { sub: 'srv_files', iss: ISS, sub_profile: 'service' },
    workload: RS,
    ...changes,
  });

export const wanted = (changes: Partial<Wanted> = {}): Wanted => ({
  target: { kind: 'server', resource: RS },
  scopes: undefined,
  tools: undefined,
  task: undefined,
  purpose: undefined,
  ...changes,
});

/** A delegation that is allowed, for what is decided after it. */
export function delegation(parts: {
  subject?: Subject;
  presenter?: Presenter;
  wanted?: Wanted;
  maxActors?: number;
}): Delegation {
  const made = delegate(
    {
      subject: parts.subject ?? subject(),
      presenter: parts.presenter ?? presenter(),
      wanted: parts.wanted ?? wanted(),
    },
    { issuer: ISS, maxActors: parts.maxActors ?? 5 },
  );
  if (!made.ok) throw new Error(made.error.reason);
  return made.value;
}
