export { messageOf, type Message } from './message.js';
export { Address, type Channel, type Due, LEASE, MOST_CHANNELS, type Notices, PushSubscription } from './ports.js';
export { sendDue, type SenderDeps } from './sender.js';
export { type VapidKey, vapidKeyOf } from './vapid.js';
