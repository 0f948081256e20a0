export { messageOf, type Message } from './message.js';
export {
  Address,
  type Channel,
  type Due,
  LEASE,
  MOST_CHANNELS,
  MOST_TOLD,
  type Notices,
  PushSubscription,
} from './ports.js';
export { openSender, type Sender, type Told } from './sender.js';
export { type VapidKey, vapidKeyOf } from './vapid.js';
