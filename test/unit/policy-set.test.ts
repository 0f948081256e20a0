import { describe, expect, it } from '@jest/globals';
import { combine, type Verdict } from '../../src/policy/index.js';
import { judge } from '../../src/policy/set/engine.js';
import { anInput, aSession, aTool, BANK, FILES, setOf, theTransfer, transfer } from '../support/policies.js';

const EVERYBODY = '@id("people") permit(principal is Person, action, resource);';
const AGENTS = '@id("agents") permit(principal is Agent, action, resource);';
const ALL = `${EVERYBODY}\n${AGENTS}\n`;
const TRANSFER = `action == Action::"${BANK}#transfer"`;
const GUARD = `@id("exact") @requires("exact_call") @reason("Say which payment.")
  forbid(principal, ${TRANSFER}, resource) unless { context has arguments };\n`;
const payment = { amount: 5, to: 'DE89', times: 1 };

const allowed: Verdict = { verdict: 'allow', policies: ['agents', 'people'] };
const forbidden = (policies: string[], messages: string[] = []): Verdict => ({
  verdict: 'deny',
  reason: 'forbidden',
  term: 'policy',
  policies,
  messages,
});
const notPermitted = (term: 'person' | 'agent'): Verdict => ({
  verdict: 'deny',
  reason: 'not_permitted',
  term,
  policies: [],
  messages: [],
});

describe('a decision', () => {
  it('is yes with a permit for the person and one for the agent, and names both', () => {
    expect(setOf(ALL).decide(anInput())).toEqual(allowed);
  });

  it('is no without a permit for the person', () => {
    expect(setOf(AGENTS).decide(anInput())).toEqual(notPermitted('person'));
  });

  it('is no without a permit for the agent', () => {
    expect(setOf(EVERYBODY).decide(anInput())).toEqual(notPermitted('agent'));
  });

  it('is no where nothing is written', () => {
    expect(setOf('').decide(anInput())).toEqual(notPermitted('person'));
  });

  it.each(['Person', 'Agent'])('is no where one policy forbids it to the %s, whatever permits it', (type) => {
    const set = setOf(`${ALL}@id("no") @reason("Not now.") forbid(principal is ${type}, action, resource);`);
    expect(set.decide(anInput())).toEqual(forbidden(['no'], ['Not now.']));
  });

  it('is no for a tool that the set was not compiled with', () => {
    expect(setOf(ALL).decide(anInput({ tool: { server: FILES, name: 'read_fil' } }))).toEqual({
      verdict: 'deny',
      reason: 'unknown_tool',
      term: 'server',
      policies: [],
      messages: [],
    });
  });

  it('TL-02 does not take a tool of the same name at another server for the one that a policy names', () => {
    const shadow = aTool({ server: 'https://other.example.com/files' });
    const set = setOf(
      `${EVERYBODY}@id("agents") permit(principal is Agent, action == Action::"${FILES}#read_file", resource);`,
      [aTool(), shadow],
    );
    expect(set.decide(anInput()).verdict).toBe('allow');
    expect(set.decide(anInput({ tool: { server: shadow.server, name: shadow.name } }))).toEqual(notPermitted('agent'));
  });

  it('knows an MCP server that acts as a client by its kind', () => {
    const set = setOf(
      `${ALL}@id("no") forbid(principal is Agent, action, resource) when { principal.kind == "mcp_server" };`,
    );
    expect(set.decide(anInput({ agent: { id: 'mcp_files', owner: 'x', kind: 'mcp_server' } }))).toEqual(
      forbidden(['no']),
    );
    expect(set.decide(anInput())).toEqual(allowed);
  });

  it('takes no authority from an actor that is only in the chain', () => {
    const set = setOf(`${EVERYBODY}@id("agents") permit(principal == Agent::"agt_boss", action, resource);`);
    expect(set.decide(anInput({ chain: ['agt_planner', 'agt_boss'] }))).toEqual(notPermitted('agent'));
  });

  it.each([
    ['context.chain.depth == 2', { chain: ['agt_planner', 'agt_a'] }],
    ['context.chain.agents.contains("agt_a")', { chain: ['agt_planner', 'agt_a'] }],
    [
      'context.chain has authentication && context.chain.authentication == "client_secret"',
      { chainAuthentication: 'client_secret' },
    ],
    ['context.session has age && context.session.age > 600', { session: aSession({ age: 601 }) }],
    ['context.session has state && context.session.state == "active"', { session: aSession({ state: 'active' }) }],
    ['context.session has depth && context.session.depth > 0', { session: aSession({ depth: 1 }) }],
    ['context.session has purpose && context.session.purpose == "pay"', { session: aSession({ purpose: 'pay' }) }],
    ['context.session has acr && context.session.acr == "pwd"', { session: aSession({ acr: 'pwd' }) }],
    ['context has task && context.task == "T-1"', { task: 'T-1' }],
    ['context has purpose && context.purpose like "pay*"', { purpose: 'pay rent' }],
    ['context.time.now > datetime("2026-11-22T01:00:00Z")', { now: 1_795_309_201 }],
    ['context.time.hour == 13 && context.time.weekday == 4', { now: 1_795_698_000 }],
    ['context.network has ip && context.network.ip.isInRange(ip("10.0.0.0/8"))', { ip: '::ffff:10.1.2.3' }],
    ['context.network has ip && context.network.ip.isIpv6()', { ip: '2001:db8::/64' }],
    ['context.authn has acr && context.authn.acr == "phr"', { acr: 'phr' }],
    ['context.authn has age && context.authn.age > 300', { authTime: 1_795_305_299 }],
    ['!context.sender_constrained', { senderConstrained: false }],
    [
      'context.person.hasTag("level") && context.person.getTag("level") == "guest"',
      { person: { id: 'p', attributes: { level: 'guest' } } },
    ],
    ['context.agent.owner == "x"', { agent: { id: 'agt_planner', owner: 'x', kind: 'agent' } }],
    ['principal is Person && principal.hasTag("level")', { person: { id: 'p', attributes: { level: 'guest' } } }],
    ['principal == Person::"p"', { person: { id: 'p', attributes: {} } }],
  ] as const)('sees %s', (condition, difference) => {
    const set = setOf(`${ALL}@id("no") forbid(principal, action, resource) when { ${condition} };`);
    expect(set.decide(anInput())).toEqual(allowed);
    expect(set.decide(anInput(difference))).toEqual(forbidden(['no']));
  });

  it('sees classes, data and tier as groups of actions, in scopes and in conditions', () => {
    const set = setOf(
      `${ALL}@id("a") forbid(principal, action in [Action::"pay", Action::"send"], resource);
      @id("b") forbid(principal, action, resource) when { action in Action::"data:confidential" };
      @id("c") forbid(principal, action in Action::"tier:critical", resource == Server::"${BANK}");`,
    );
    expect(set.decide(anInput())).toEqual(allowed);
    expect(set.decide(theTransfer(undefined))).toEqual(forbidden(['a', 'b', 'c']));
  });

  it('IJ-08 takes tool names, attributes, tasks and arguments for data, whatever they spell', () => {
    const evil = '"); permit(principal, action, resource); //';
    const tool = aTool({ name: evil, inputSchema: { type: 'object', properties: { q: { type: 'string' } } } });
    const set = setOf(EVERYBODY, [tool]);
    const input = anInput({
      tool: { server: FILES, name: evil },
      task: evil,
      purpose: evil,
      person: { id: evil, attributes: { [evil]: evil, __entity: evil } },
      arguments: { q: evil },
      discharged: [evil],
    });
    expect(set.decide(input)).toEqual(notPermitted('agent'));
  });
});

describe('a question to a human', () => {
  const human = `@id("human") @requires("approval") @approvers("finance, owners") @reason("Payments need a person.")
    forbid(principal, action in Action::"pay", resource);`;

  it('is asked when only policies that can be lifted say no', () => {
    expect(setOf(ALL + human).decide(theTransfer(payment))).toEqual({
      verdict: 'ask',
      requires: ['approval'],
      demands: [
        {
          policy: 'human',
          requires: 'approval',
          approvers: ['finance', 'owners'],
          reason: 'Payments need a person.',
          acrValues: [],
          maxAge: undefined,
        },
      ],
      policies: ['human'],
      reasons: ['Payments need a person.'],
      acrValues: [],
      maxAge: undefined,
    });
  });

  it('is a yes once the grant discharges the policy by its id', () => {
    expect(setOf(ALL + human).decide(theTransfer(payment, { discharged: ['human'] }))).toEqual(allowed);
  });

  it('is not asked where a plain forbid says no as well', () => {
    const set = setOf(`${ALL}${human}@id("no") forbid(principal, action, resource);`);
    expect(set.decide(theTransfer(payment))).toEqual(forbidden(['human', 'no']));
    expect(set.decide(theTransfer(payment, { discharged: ['human', 'no'] }))).toEqual(forbidden(['no']));
  });

  it.each([
    ['person', AGENTS],
    ['agent', EVERYBODY],
  ] as const)('is not asked where the permit of the %s is missing', (term, permits) => {
    const set = setOf(permits + human);
    expect(set.decide(theTransfer(payment))).toEqual(notPermitted(term));
    expect(set.decide(theTransfer(payment, { discharged: ['human'] }))).toEqual(notPermitted(term));
  });

  it('is broken, not asked, where a policy beside it errs', () => {
    const times = `@id("times") forbid(principal, ${TRANSFER}, resource)
      when { context has arguments && context.arguments.times * context.arguments.times > 1000 };`;
    expect(setOf(ALL + human + GUARD + times).decide(theTransfer({ ...payment, times: 2 ** 52 }))).toEqual({
      verdict: 'broken',
      errors: [{ kind: 'policy_failed', policy: 'times' }],
    });
  });

  it('asks for the exact call first, and no grant lifts that', () => {
    const set = setOf(ALL + human + GUARD);
    expect(set.decide(theTransfer(undefined))).toMatchObject({
      verdict: 'ask',
      requires: ['exact_call', 'approval'],
      policies: ['exact', 'human'],
    });
    expect(set.decide(theTransfer(undefined, { discharged: ['exact', 'human'] }))).toMatchObject({
      verdict: 'ask',
      requires: ['exact_call'],
      reasons: ['Say which payment.'],
    });
    expect(set.decide(theTransfer(payment, { discharged: ['human'] }))).toEqual(allowed);
  });

  it('RFC 9470 says which sign-in would do: the classes that all demands share, and the shortest age', () => {
    const set = setOf(`${ALL}
      @id("a") @requires("reauthentication") @acr_values("phr phrh") @max_age("600")
      forbid(principal, action, resource) unless { context.authn has acr && context.authn.acr == "phrh" };
      @id("b") @requires("reauthentication") @acr_values("phrh") @max_age("300")
      forbid(principal, action, resource) unless { context.authn has age && context.authn.age < 300 };`);
    expect(set.decide(anInput())).toMatchObject({
      verdict: 'ask',
      requires: ['reauthentication'],
      acrValues: ['phrh'],
      maxAge: 300,
    });
    expect(set.decide(anInput({ acr: 'phrh', authTime: 1_795_305_500 }))).toEqual(allowed);
    expect(set.decide(anInput({ discharged: ['a', 'b'] })).verdict).toBe('ask');
  });

  it('is one question for several tools, unless one of them is refused', () => {
    const ask = setOf(ALL + human).decide(theTransfer(payment));
    const no = setOf(AGENTS).decide(anInput());
    const broken: Verdict = { verdict: 'broken', errors: [{ kind: 'engine_threw' }] };
    expect(combine([allowed, ask, ask])).toEqual(ask);
    expect(combine([ask, allowed, no])).toEqual(no);
    expect(combine([no, broken, ask])).toEqual(broken);
    expect(combine([allowed, { verdict: 'allow', policies: ['other'] }])).toEqual({
      verdict: 'allow',
      policies: ['agents', 'other', 'people'],
    });
  });
});

describe('an engine that does not answer cleanly', () => {
  const times = `@id("times") forbid(principal, ${TRANSFER}, resource)
    when { context has arguments && context.arguments.times + 9007199254740991 * 1024 > 0 };`;

  it('is broken when a forbid errs, though Cedar itself would skip it and allow', () => {
    expect(setOf(ALL + GUARD + times).decide(theTransfer({ ...payment, times: Number.MAX_SAFE_INTEGER }))).toEqual({
      verdict: 'broken',
      errors: [{ kind: 'policy_failed', policy: 'times' }],
    });
  });

  it('is broken when the engine cannot read the question', () => {
    const set = setOf(
      `${ALL}@id("ip") forbid(principal, action, resource) when { context.network has ip && context.network.ip.isIpv6() };`,
    );
    expect(set.decide(anInput({ ip: 'no address' }))).toEqual({
      verdict: 'broken',
      errors: [{ kind: 'engine_refused' }],
    });
  });

  it('is broken when the engine throws', () => {
    const set = setOf(
      `${ALL}@id("age") forbid(principal, action, resource) when { context.sender_constrained == false };`,
    );
    const input: object = { ...anInput(), senderConstrained: Symbol('no boolean') };
    expect(set.decide(Object.assign(anInput(), input)).verdict).toBe('broken');
  });

  it('is broken when the engine warns, whatever it decided', () => {
    const warning = { message: 'hm', help: null, code: null, url: null, severity: 'warning' } as const;
    const response = { decision: 'allow', diagnostics: { reason: ['a'], errors: [] } } as const;
    expect(
      judge({
        type: 'success',
        response: { ...response, diagnostics: { reason: ['a'], errors: [] } },
        warnings: [warning],
      }),
    ).toEqual({ kind: 'broken', errors: [{ kind: 'engine_warned' }] });
  });

  it('is never remembered, and says nothing of the arguments', () => {
    const set = setOf(ALL + GUARD + times, [aTool(), transfer], 10);
    const input = theTransfer({ ...payment, times: Number.MAX_SAFE_INTEGER });
    expect(set.decide(input).verdict).toBe('broken');
    expect(JSON.stringify(set.decide(input))).not.toContain(String(Number.MAX_SAFE_INTEGER));
  });
});

describe('what is remembered', () => {
  it('is the same as what is decided anew', () => {
    const text = `${ALL}@id("no") forbid(principal, action, resource) when { context.session has age && context.session.age > 5 };`;
    const [fresh, remembering] = [setOf(text), setOf(text, [aTool(), transfer], 2)];
    for (const age of [1, 9, 1, 7, 9, 1, 5, 6, 1]) {
      const input = anInput({ session: aSession({ age }) });
      expect(remembering.decide(input)).toEqual(fresh.decide(input));
    }
  });

  it('is one answer for inputs that differ only where no policy looks', () => {
    const set = setOf(ALL, [aTool()], 10);
    expect(set.decide(anInput({ now: 2, task: 'b' }))).toBe(set.decide(anInput({ now: 1, task: 'a' })));
  });
});

describe('the name of a set', () => {
  it('is a digest of its files, whatever their order and the tools', () => {
    expect(setOf(ALL).hash).toMatch(/^sha256:[\w-]{43}$/);
    expect(setOf(ALL).hash).toBe(setOf(ALL, []).hash);
    expect(setOf(`${ALL} `).hash).not.toBe(setOf(ALL).hash);
  });
});
