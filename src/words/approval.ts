/** All text of the page of one request. */
export const APPROVAL = {
  title: 'Approve this one call?',
  titleOther: 'This call waits for somebody else',
  asks: 'Who asks',
  fields: {
    owner: 'Responsible',
    chain: 'Called by',
    person: 'In the name of',
    purpose: 'Why, it says',
    task: 'Task, it says',
    started: 'Asked at',
    network: 'Network',
  },
  registered: 'Registered by an administrator',
  unregistered: 'Not registered any more',
  you: 'you',
  unknownNetwork: 'unknown',
  would: 'What it would do',
  with: 'With exactly this',
  withNothing: 'Nothing is given to the tool.',
  characters: 'characters',
  sensitive: 'Sensitive, so hidden at first',
  changed: 'changed',
  added: 'new',
  tooLong:
    'What the tool would be given is too long for anybody to read here, so it cannot be approved. The agent has to ask for less at once.',
  difference: 'Compared with the last approved call',
  first: 'No call of this tool by this agent was approved in the last 30 days.',
  same: 'The same as what was approved at',
  differs: 'Not the same as what was approved at',
  gone: 'left out',
  risk: 'Risk',
  tiers: { low: 'Low', medium: 'Medium', high: 'High', critical: 'Critical' },
  noReason: 'The policy gives no reason.',
  decide: 'Your decision',
  until: 'Without an answer it is denied at',
  left: 'left',
  once: 'Approved is this one call, once, and nothing else.',
  waitsFor: 'It has to be approved by somebody of:',
  deny: 'Deny',
  denyAndPause: 'Deny and pause this agent',
  approve: 'Approve once',
  approveByPasskey: 'Approve once with your passkey',
  number: 'The number that the agent shows you',
  numberHelp: 'Two digits. If you do not see one, somebody else started this: deny it. A wrong number denies it too.',
  noPasskey:
    'This call needs a passkey of yours, and you have none here. Make one, then come back: it takes as long as one sign-in.',
  makePasskey: 'Make a passkey',
  nowhere:
    'This call needs a passkey, which browsers do not keep for a server without a name. Its administrator has to give it one.',
  problems: {
    not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please decide here.',
    changed: 'What this page says has changed meanwhile. Please read it again.',
    unreadable: 'No passkey was used. You can try again.',
    stale: 'That took too long, or was for another call. Please try again.',
    no_passkey: 'This passkey is not good here. Use one of your own.',
    no_number: 'The number is two digits, as the agent shows it.',
  },
  ended: {
    granted: { title: 'Approved', advice: 'The agent can do this one call now, once. You can close this page.' },
    in_part: { title: 'Your part is approved', advice: 'Others still have to approve it before the agent can do it.' },
    refused: { title: 'Denied', advice: 'The agent was told no, and did nothing. You can close this page.' },
    wrong_number: {
      title: 'Denied, for the number was wrong',
      advice: 'If the agent is yours, let it ask again. If it is not, tell your administrator.',
    },
    refused_and_paused: {
      title: 'Denied, and paused',
      advice: 'The agent was told no, and can do nothing in your name until you let it go on at /approvals.',
    },
    expired: { title: 'Too late', advice: 'Nobody approved this in time, so it was denied.' },
    withdrawn: { title: 'Withdrawn', advice: 'This does not wait any more. Nothing was done.' },
    used: { title: 'Already used', advice: 'This was approved, and the agent has been given its one call.' },
  },
  takeBack: 'Take it back',
  toAll: 'All that waits, and all that can act for you',
} as const;

/** All text of the list of requests that wait. */
export const WAITING = {
  title: 'What waits for me',
  nothing: 'Nothing waits for your answer.',
  tiers: { low: 'Low risk', medium: 'Medium risk', high: 'High risk', critical: 'Critical risk' },
  asked: 'asked',
  times: 'times',
  decide: 'Read and decide',
  since: 'since',
  minutesLeft: 'min left',
  more: 'more wait behind these.',
  lessThanAMinute: 'less than a minute left',
} as const;

/** All text of the page that makes a passkey for approving. */
export const OWN_PASSKEY = {
  title: 'Make your passkey',
  why: 'By it you approve what can do much harm. Nobody else can, even with your password.',
  how: 'Your device asks for your fingerprint, your face or its PIN, and keeps the key. You go on signing in as you always do.',
  make: 'Make a passkey',
  back: 'To what waits',
  problems: {
    not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please make it here.',
    unreadable: 'No passkey was made. You can try again.',
    stale: 'That took too long, or the page was open twice. Please try again.',
    invalid: 'This passkey cannot be used here. Please try again, or with another device.',
  },
  ended: {
    done: {
      status: 200,
      title: 'Your passkey is ready',
      advice: 'Go back to what waits for you and approve it by this passkey.',
    },
    has_one: {
      status: 409,
      title: 'You have a passkey',
      advice:
        'There is one for you already. If it is lost, ask your administrator to remove it, then make another one here.',
    },
    nowhere: {
      status: 409,
      title: 'No passkeys here',
      advice: 'Browsers keep passkeys for servers with a name. The administrator of this one has to give it one.',
    },
  },
} as const;
