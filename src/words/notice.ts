/** All text of messages that tell somebody of what waits. */
export const NOTICE = {
  asks: 'asks for your approval',
  risk: { low: 'Low risk', medium: 'Medium risk', high: 'High risk', critical: 'Critical risk' },
  until: 'Without an answer it is denied at',
} as const;
