import type { Json } from '../../protocol/index.js';
import type { ApprovalPage } from './access-request.js';
import { type Answer, json, toolRefusal } from './answer.js';
import type { Delegation } from './delegation.js';
import type { ToolCall } from './message.js';

/** Which of its ways a client has to open an address: `input_required`, the error of the revision before, or none. */
export type Elicitation = 'input_required' | 'error' | undefined;

/**
 * STANDARDS 3.6: a call that waits for a person. A client that opens addresses is given that of the page, once for each call: whoever
 * comes back before the person decided is told so, and comes again later. Any other has a result to show.
 */
export function approvalNeeded(
  call: ToolCall,
  { reasons, page }: Readonly<{ reasons: readonly string[]; page: ApprovalPage }>,
  { elicitation, delegation }: Readonly<{ elicitation: Elicitation; delegation: Delegation }>,
): Answer {
  const { id, uri, number } = page;
  const shown = number === undefined ? '' : ` Its number is ${number}.`;
  const message = `"${call.tool}" waits for an approval at Writ.${shown}`;
  if (elicitation === 'input_required' && !call.answersInput) {
    const approval = { method: 'elicitation/create', params: { mode: 'url', message, url: uri } };
    return rpc(call, { result: { resultType: 'input_required', inputRequests: { approval } } });
  }
  if (elicitation === 'error') {
    const elicitations = [{ mode: 'url', elicitationId: id, url: uri, message }];
    return rpc(call, { error: { code: URL_ELICITATION_REQUIRED, message, data: { elicitations } } });
  }
  const { decision, transaction } = delegation;
  const text = `Not yet: ${message} ${[...reasons, `Call again once it is approved at ${uri}`].join(' ')}`;
  return toolRefusal(call, text, {
    ...{ error: 'approval_required', tool: call.tool, decision, transaction, reasons: [...reasons] },
    ...{ remedy: 'approval', approval_uri: uri, ...(number === undefined ? {} : { number }) },
  });
}

/** MCP 2025-11-25; a later revision must not see it. */
const URL_ELICITATION_REQUIRED = -32042;

const rpc = ({ id }: ToolCall, outcome: Record<string, Json>): Answer => json(200, { jsonrpc: '2.0', id, ...outcome });
