import { err, ok, type Result } from '../base/index.js';
import type { AskedTool, Opinion, Question, Silence } from '../policy/index.js';
import { type JsonObject, sha256, wellKnown } from '../protocol/index.js';
import { readEvaluation, readEvaluations, type Verdict } from './call-answer.js';
import { admit, CLOSED, isOpen, settle } from './call-breaker.js';
import { type Endpoints, readMetadata } from './call-discovery.js';
import { Line } from './call-http.js';
import { evaluationOf, evaluationsOf } from './call-question.js';

/** A decision point as an administrator configures it: by its evaluation endpoint, or by the identifier that finds it. */
export type PointSettings = Readonly<{
  id: string;
  url: string | undefined;
  discover: string | undefined;
  servers: '*' | readonly string[];
  timeoutMs: number;
  credential: string | undefined;
}>;

/** What operators see of the decision points. */
export type PointWatch = Readonly<{
  /** `outcome`: a word of the closed sets of {@link Opinion}. */
  onOpinion(opinion: Readonly<{ point: string; outcome: string; seconds: number }>): void;
  /** Once for each change. */
  onCircuit(change: Readonly<{ point: string; isOpen: boolean; because: string }>): void;
}>;

type Heard = Readonly<{ verdicts: readonly Verdict[]; answer: string }>;
type Asking = Readonly<{ question: Question; requestId: string; deadline: number }>;

/** One decision point beside ours, with its circuit. Discovered when it is first asked, and anew after a silence. */
export class Point {
  readonly id: string;
  readonly #settings: PointSettings;
  readonly #watch: PointWatch;
  readonly #line = new Line();
  #circuit = CLOSED;
  #endpoints: Promise<Result<Endpoints, Silence>> | undefined;

  constructor(settings: PointSettings, watch: PointWatch) {
    this.id = settings.id;
    this.#settings = settings;
    this.#watch = watch;
  }

  decidesOn(resource: string): boolean {
    const { servers } = this.#settings;
    return servers === '*' || servers.includes(resource);
  }

  async ask(question: Question, requestId: string): Promise<Opinion> {
    const began = performance.now();
    const admitted = admit(this.#circuit, began);
    if (admitted !== undefined) this.#circuit = admitted;
    const deadline = began + this.#settings.timeoutMs;
    const heard: Result<Heard, Silence> =
      admitted === undefined ? err('circuit_open') : await this.#hear({ question, requestId, deadline });
    const opinion = opinionOf(this.id, question, heard);
    if (admitted !== undefined) this.#settle(heard);
    const outcome = opinion.because === 'decided' ? opinion.says : opinion.because;
    this.#watch.onOpinion({ point: this.id, outcome, seconds: (performance.now() - began) / 1_000 });
    return opinion;
  }

  close(): void {
    this.#line.close();
  }

  #settle(heard: Result<Heard, Silence>): void {
    const before = isOpen(this.#circuit);
    this.#circuit = settle(this.#circuit, heard.ok, performance.now());
    const after = isOpen(this.#circuit);
    if (!heard.ok) this.#endpoints = undefined;
    if (before !== after)
      this.#watch.onCircuit({ point: this.id, isOpen: after, because: heard.ok ? 'answered' : heard.error });
  }

  async #hear(asking: Asking): Promise<Result<Heard, Silence>> {
    const endpoints = await this.#find(asking.deadline);
    if (!endpoints.ok) return endpoints;
    const { evaluation, evaluations } = endpoints.value;
    const { question } = asking;
    if (question.tools.length > 1 && evaluations !== undefined) {
      const text = await this.#post(evaluations, evaluationsOf(question), asking);
      return text.ok ? heardFrom(text.value, readEvaluations(text.value, question.tools.length)) : text;
    }
    return together(await Promise.all(question.tools.map((tool) => this.#evaluate(evaluation, tool, asking))));
  }

  async #evaluate(url: string, tool: AskedTool, asking: Asking): Promise<Result<Heard, Silence>> {
    const text = await this.#post(url, evaluationOf(asking.question, tool), asking);
    return text.ok ? heardFrom(text.value, readEvaluation(text.value)) : text;
  }

  #find(deadline: number): Promise<Result<Endpoints, Silence>> {
    const { url, discover = '' } = this.#settings;
    this.#endpoints ??=
      url === undefined
        ? this.#discover(discover, deadline)
        : Promise.resolve(ok({ evaluation: url, evaluations: undefined }));
    return this.#endpoints;
  }

  async #discover(identifier: string, deadline: number): Promise<Result<Endpoints, Silence>> {
    const text = await this.#line.send({
      method: 'GET',
      url: wellKnown('authzen-configuration', identifier),
      headers: {},
      deadline,
    });
    if (!text.ok) return text;
    const endpoints = readMetadata(text.value, identifier);
    return endpoints === undefined ? err('not_discovered') : ok(endpoints);
  }

  #post(url: string, body: JsonObject, { requestId, deadline }: Asking): Promise<Result<string, Silence>> {
    const { credential } = this.#settings;
    const headers = {
      'content-type': 'application/json',
      'x-request-id': requestId,
      ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
    };
    return this.#line.send({ method: 'POST', url, headers, body: JSON.stringify(body), deadline });
  }
}

const heardFrom = (text: string, verdicts: readonly Verdict[] | undefined): Result<Heard, Silence> =>
  verdicts === undefined ? err('malformed') : ok({ verdicts, answer: sha256(text) });

/** Several answers as one: of one tool's silence nothing is known of any. */
function together(each: readonly Result<Heard, Silence>[]): Result<Heard, Silence> {
  const silent = each.find((one) => !one.ok);
  if (silent?.ok === false) return silent;
  const all = each.flatMap((one) => (one.ok ? [one.value] : []));
  const [first, ...others] = all;
  return ok({
    verdicts: all.flatMap(({ verdicts }) => verdicts),
    answer: first !== undefined && others.length === 0 ? first.answer : sha256(all.map(({ answer }) => answer).join()),
  });
}

function opinionOf(point: string, { tools }: Question, heard: Result<Heard, Silence>): Opinion {
  const names = tools.map(({ name }) => name);
  if (!heard.ok) return { point, says: 'no', because: heard.error, tools: names };
  const { verdicts, answer } = heard.value;
  const at = verdicts.findIndex((verdict) => verdict !== 'yes');
  if (at === -1) return { point, says: 'yes', because: 'decided', tools: names, answer };
  const because = verdicts[at] === 'obligation' ? 'obligation' : 'decided';
  return { point, says: 'no', because, tools: names, refused: names[at] ?? '', answer };
}
