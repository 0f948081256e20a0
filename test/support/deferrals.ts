import { randomBytes } from 'node:crypto';

const GRANT = 'urn:ietf:params:oauth:grant-type:deferred';

type Held = {
  client: string;
  form: URLSearchParams;
  state: 'open' | 'granted' | 'refused' | 'over' | 'withdrawn' | 'signed_in_long_ago';
  polls: number;
};

/** The issuer's half of the Deferred Token Response: every exchange that opted in waits until a test decides. */
export class Deferrals {
  readonly held = new Map<string, Held>();
  readonly polledAt: number[] = [];
  /** Members of the answer beside the usual ones. */
  more: Record<string, unknown> = {};
  interval = 1;
  life = 300;
  /** So many polls are told to slow down. */
  slowDowns = 0;

  /** The answer to a form, or the form of an exchange to go on with. */
  answer(form: URLSearchParams, client: string): Record<string, unknown> | URLSearchParams | undefined {
    if (form.get('grant_type') === GRANT) return this.#poll(form.get('deferral_code') ?? '', client);
    return form.get('completion_mode') === 'deferred' ? this.#defer(form, client) : undefined;
  }

  decide(state: 'granted' | 'refused' | 'over' | 'signed_in_long_ago'): void {
    for (const one of this.held.values()) if (one.state === 'open') one.state = state;
  }

  /** RFC 7009: of another client it says nothing. */
  withdraw(form: URLSearchParams, client: string): void {
    const one = this.held.get(form.get('token') ?? '');
    const hint = form.get('token_type_hint');
    if (one?.client === client && hint === 'urn:ietf:params:oauth:token-type:deferral-code') one.state = 'withdrawn';
  }

  states(): string[] {
    return [...this.held.values()].map(({ state }) => state);
  }

  /** The same request that is open has the same code. */
  #defer(form: URLSearchParams, client: string): Record<string, unknown> {
    const same = [...this.held].find(
      ([, one]) => one.state === 'open' && one.form.get('authorization_details') === form.get('authorization_details'),
    );
    const code = same?.[0] ?? randomBytes(32).toString('base64url');
    if (same === undefined) this.held.set(code, { client, form, state: 'open', polls: 0 });
    return {
      ...{ error: 'authorization_pending', error_description: 'a person has to approve this call' },
      ...{ deferral_code: code, expires_in: this.life, interval: this.interval },
      ...this.more,
    };
  }

  #poll(code: string, client: string): Record<string, unknown> | URLSearchParams {
    this.polledAt.push(Date.now());
    const one = this.held.get(code);
    if (one?.client !== client || one.state === 'withdrawn') return { error: 'invalid_grant' };
    one.polls++;
    if (this.slowDowns > 0) {
      this.slowDowns--;
      return { error: 'slow_down' };
    }
    if (one.state === 'open') return { error: 'authorization_pending' };
    if (one.state === 'refused') return { error: 'access_denied', error_description: 'the person said no' };
    if (one.state === 'over') return { error: 'expired_token' };
    if (one.state === 'signed_in_long_ago') return { error: 'insufficient_user_authentication' };
    this.held.delete(code);
    return one.form;
  }
}
