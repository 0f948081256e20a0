/** All text of the page on which a person lets an agent act for them. */
export const CONSENT = {
  title: (agent: string) => `Allow ${agent}?`,
  heading: (agent: string) => `Allow ${agent} to act for you?`,
  fields: {
    purpose: 'Purpose',
    owner: 'Responsible',
    known: 'Known here',
    id: 'Agent id',
    back: 'You return to',
  },
  registered: 'Registered by an administrator',
  loopback:
    'You return to a program on your own computer. Any program there can pretend to be this agent: go on only if you started it yourself just now.',
  could: 'What it could do in your name',
  nothing: 'Nothing beyond knowing that it is you.',
  noTool: 'No tool of it is open to this agent yet.',
  things: (count: number) => `${String(count)} ${count === 1 ? 'thing' : 'things'} that it could do`,
  risk: { low: 'low risk', medium: 'medium risk', high: 'high risk', critical: 'critical risk' },
  readsOnly: 'Only let it read: nothing that changes, sends or pays anything',
  limits: 'Its limits',
  units: {
    calls: 'calls',
    calls_per_minute: 'calls per minute',
    identical_calls: 'identical calls',
    writes: 'writes',
    deletes: 'deletes',
    tools: 'tools',
    servers: 'servers',
  },
  scopes: { session: 'session', task: 'task', agent: 'agent', person: 'person', tool: 'tool' },
  limit: (what: string, per: string, anew: string | undefined) =>
    `${what} for each ${per}${anew === undefined ? '' : `, anew every ${anew.replace(/^1 /, '')}`}`,
  ownLimit: 'At most so many calls in all (empty: no limit of yours)',
  duration: 'How long',
  away: 'It may also go on while you are away, until it is revoked.',
  lasts: 'It ends by itself after',
  stillChecked: 'Each call is still checked by policy and recorded.',
  deny: 'Deny',
  allow: 'Allow',
  problems: {
    changed: 'What this agent would get has changed meanwhile. Please read it again.',
    nothing_left: 'With this choice nothing is left that it could do. Leave at least one thing, or deny.',
    too_many_tools: 'Leave all that is asked, or at most 32 things of it.',
    unknown_time: 'Please choose again how long it may go on.',
    unreadable_limit:
      'How many calls it may make has to be a whole number from 1 to 1000000, or empty for no limit of yours.',
  },
} as const;
