import { type Cast, REDIRECT_URI, RESOURCE, type Signer } from '../drill/cast.js';
import type { Form } from '../drill/line.js';
import type { Random } from './random.js';
import { type Headers, requestBytes } from './wire.js';

/** One request, and whether it has its end: one that lacks it may be dropped without an answer. */
export type Case = Readonly<{ route: string; bytes: Buffer; isWhole: boolean }>;

/** Makes one broken request of its kind. */
export type MakeCase = (material: Material, random: Random) => Case;

export const WRITER = 'agt_writer';
export const DOMAIN = 'trust.example';

/** Sound requests of every route, with fresh credentials; a case breaks something of one. */
export class Material {
  readonly cast: Cast;
  readonly adminToken: string;
  readonly port: number;
  /** Tokens of ours that were issued a moment ago. */
  issued: readonly string[] = [];

  constructor(cast: Cast, adminToken: string) {
    this.cast = cast;
    this.adminToken = adminToken;
    this.port = Number(new URL(cast.issuer).port);
  }

  signer(client: keyof Cast['signers']): Signer {
    return this.cast.signers[client];
  }

  /** The drill's registry, where the agent may hand over and ask for transaction tokens too. */
  registry(): Readonly<{ agents: readonly object[]; servers: readonly object[]; issuers: readonly object[] }> {
    const { agents, servers, issuers } = this.cast.registry();
    const planner = agents[0] ?? {};
    return {
      agents: [
        { ...planner, hand_over_to: [WRITER], transaction_tokens: true },
        { ...planner, client_id: WRITER, authentication: { method: 'client_secret_basic' }, hand_over_to: [] },
      ],
      servers,
      issuers: issuers.map((issuer) => ({ ...issuer, agents: ['agt_planner'] })),
    };
  }

  exchange(): Form {
    return { ...this.cast.exchange('alice'), ...this.cast.authentication('agt_planner') };
  }

  /** A sound body for each kind of request that a route of forms takes. */
  forms(token: string): readonly (readonly [route: string, form: Form])[] {
    const { cast } = this;
    const agent = cast.authentication('agt_planner');
    const server = cast.authentication('srv_files');
    return [
      ['/token', this.exchange()],
      ['/token', { ...this.exchange(), ...cast.actor(), scope: 'files:write', request_details: '{"task":"T-1"}' }],
      ['/token', { ...without(this.exchange(), 'resource', 'authorization_details'), audience: WRITER }],
      ['/token', { ...without(this.exchange(), 'resource', 'authorization_details'), audience: DOMAIN }],
      [
        '/token',
        { ...agent, grant_type: 'authorization_code', code: 'x', code_verifier: 'y', redirect_uri: REDIRECT_URI },
      ],
      ['/token', { ...agent, grant_type: 'refresh_token', refresh_token: 'x' }],
      ['/token', { ...agent, grant_type: 'client_credentials', scope: 'files:read' }],
      ['/introspect', { ...server, token, consume: 'write_file' }],
      ['/introspect', { ...server, token, token_type_hint: 'access_token' }],
      ['/revoke', { ...agent, token }],
      ['/revoke', { ...agent, token: 'opaque', token_type_hint: 'refresh_token' }],
      ['/request', { ...agent, ...cast.pushed('x'.repeat(43)) }],
      ['/auth', cast.pushed('x'.repeat(43))],
      ['/interaction/x/consent', { token: 'x', decision: 'allow' }],
    ];
  }

  headers(more: Headers = []): Headers {
    return [['Host', `127.0.0.1:${this.port}`], ['Connection', 'close'], ...more];
  }

  /** A form, sent as forms are. `body` may be text that no form makes. */
  post(route: string, body: string | Buffer, more: Headers = []): Case {
    const length = String(Buffer.byteLength(body));
    const type = ['Content-Type', 'application/x-www-form-urlencoded'] as const;
    const headers = this.headers([type, ['Content-Length', length], ...more]);
    return { route, bytes: requestBytes({ method: 'POST', target: route, headers }, body), isWhole: true };
  }
}

export const without = (form: Form, ...names: readonly string[]): Form =>
  Object.fromEntries(Object.entries(form).filter(([name]) => !names.includes(name)));

/** {@link RESOURCE} is where every token of these requests is for. */
export { RESOURCE };
