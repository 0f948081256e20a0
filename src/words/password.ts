/** All text of passwords for emergencies. */
export const PASSWORD = {
  section: {
    title: 'Password for emergencies',
    none: 'You have none. It lets you sign in when no passkey of yours is at hand.',
    made: 'Made',
    used: 'Last used',
    never: 'Never',
    make: 'Make a password',
    renew: 'Make a new one instead',
    remove: 'Take it away',
    ends: 'Taking it away or making a new one ends every sign-in of yours, here too, and all that agents can do for you.',
  },
  made: {
    title: 'Your password for emergencies',
    advice: 'It is shown this once, so print it or keep it where your passkey is not. One that you had before is void.',
    name: 'Sign in as',
    use: 'Whoever has it can see what waits for you, approve what is not dangerous, and let agents act for you. It makes no passkey and no recovery code, and approves nothing dangerous. Nobody ever has a reason to ask you for it.',
    back: 'I have kept it',
  },
  signIn: {
    instead: 'No passkey at hand? Use your password for emergencies',
    name: 'E-mail address or account',
    password: 'Password',
    go: 'Sign in by password',
  },
  problems: {
    wrong: 'This name and password are not good here. It may have been replaced. Try again, or ask your administrator.',
    too_often: 'There were too many sign-ins from your network. Wait a minute and try again.',
    busy: 'Too many people sign in by password at this moment. Wait a few seconds and try again.',
  },
} as const;
