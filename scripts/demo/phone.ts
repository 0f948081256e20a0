import { Authenticator, passkeyOptions } from './authenticator.js';
import { Browser, type Seen } from './browser.js';
import type { Employee } from './company.js';

/** A person's phone: a browser, and what keeps their passkey and asks for their finger. */
export class Phone {
  readonly #browser = new Browser();
  readonly #passkey = new Authenticator();
  readonly #issuer: string;
  readonly #person: Employee;

  constructor(issuer: string, person: Employee) {
    [this.#issuer, this.#person] = [issuer, person];
  }

  /** Signs in at Writ itself, as no agent asked for it, and makes the passkey. */
  async makePasskey(): Promise<void> {
    const page = await this.#signedIn(`${this.#issuer}/approvals/passkey`);
    const answer = this.#passkey.create(this.#issuer, passkeyOptions(page.body));
    await this.#browser.submit(page, { answer });
  }

  /** Reads the page, enters the number and approves. Answers what the page says then. */
  async approve(address: string, number: string): Promise<string> {
    const page = await this.#signedIn(address);
    const answer = this.#passkey.get(this.#issuer, passkeyOptions(page.body));
    const form = page.body.slice(page.body.lastIndexOf('<form'));
    const said = await this.#browser.submit({ ...page, body: form }, { answer, number });
    return /<h1>([^<]*)<\/h1>/.exec(said.body)?.[1] ?? '';
  }

  async #signedIn(address: string): Promise<Seen> {
    const page = await this.#browser.get(address);
    if (!page.body.includes('<h1>Sign in to Writ</h1>')) return page;
    const atCompany = await this.#browser.submit(page, {});
    const { email, password } = this.#person;
    return this.#browser.submit(atCompany, { email, password });
  }
}
