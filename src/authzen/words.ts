import type { PolicyRefusal } from '../policy/index.js';

/** Why a question is answered no before any policy is asked. */
export type OwnRefusal = Readonly<{
  reason: 'not_yours_to_ask' | 'unknown_action' | 'unknown_person' | 'unknown_entity';
  term: 'person' | 'request';
}>;

/** A sentence for whoever reads the answer; it names nothing that the question did not. */
export function sentenceOf(refusal: PolicyRefusal | OwnRefusal): string {
  switch (refusal.reason) {
    case 'not_yours_to_ask':
      return 'A server asks about its own tools, and a client about its own calls.';
    case 'unknown_action':
      return 'Of a tool only tools/call is decided, for a subject of type identity or person.';
    case 'unknown_person':
      return 'There is no active person of this id.';
    case 'unknown_entity':
      return 'No policy set knows these entities, or this action between their types.';
    case 'unknown_target':
      return 'There is no active server of this URI.';
    case 'target_not_allowed':
      return 'This agent is not registered for this server.';
    case 'proof_of_possession_required':
      return `This ${refusal.term} needs a call that is bound to a key (DPoP).`;
    case 'actor_not_usable':
    case 'life_is_over':
      return 'This agent is disabled or has expired.';
    case 'scope_too_wide':
      return `The tool needs a scope that this ${refusal.term} does not have here.`;
    case 'tool_not_granted':
      return `The tool is not granted to this ${refusal.term}.`;
    case 'tool_not_reviewed':
      return 'Nobody has reviewed the tool yet.';
    case 'tool_needs_review':
      return 'The tool has changed and waits for a review.';
    case 'tool_changed':
      return 'The tool is not what was reviewed.';
    case 'arguments_required':
      return 'The tool is decided on its exact arguments.';
    case 'policy_forbids':
      return 'A policy forbids this call.';
    case 'policy_does_not_permit':
      return `No policy permits this call for this ${refusal.term}.`;
    case 'policy_cannot_read':
      return refusal.argument === undefined
        ? 'The question is not what the schema wants.'
        : `The arguments are not what the reviewed schema wants: ${refusal.argument}.`;
    case 'policy_broken':
    case 'policy_missing':
      return 'The call could not be decided; tell an administrator.';
    case 'decision_point_refuses':
      return 'A decision point beside Writ refuses this call.';
    case 'decision_point_silent':
      return 'A decision point beside Writ does not answer; try again.';
    case 'hand_over_withdrawn':
    case 'hand_over_not_allowed':
    case 'domain_not_allowed':
    case 'scope_misses_tool':
    case 'nothing_granted':
    case 'one_call_per_token':
    case 'arguments_changed':
    case 'too_many_uses':
    case 'too_many_tools':
    case 'tools_not_here':
      return 'The call is not granted.';
  }
}
