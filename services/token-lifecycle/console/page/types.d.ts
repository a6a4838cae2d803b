// What the page gets from the token service as JSON, and from its own server.
export type Suspender = string;

export type TokenEvent = {
  tokenReferenceId?: string;
  version: string;
  type: string;
  outcome: string;
  eventTime: string;
  receivedTime: string;
  previousState?: string;
  state: string;
  clientId?: string;
  deliveryId?: string;
  customerId?: string;
  suspender?: Suspender;
  reason?: string;
  actor?: string;
};

export type Delivery = {
  deliveryId?: string;
  clientId?: string;
  receivedTime: string;
  eventTime?: string;
  refusedFor?: string;
  differingFields?: string[];
};

export type Token = {
  tokenReferenceId: string;
  state: string;
  suspenders?: Suspender[];
  version: string;
  stateTime?: string;
  clientId?: string;
  customerId?: string;
  walletId?: string;
  tokenRequestorId?: string;
  secureElementId?: string;
  accountSource?: string;
  serviceRequestTime?: string;
  tokenActivatedTime?: string;
  tokenData?: { token?: string; unknownMemberCount?: number };
  createTime?: string;
  updateTime?: string;
  eraseTime?: string;
};

export type History = {
  token: Token;
  events?: TokenEvent[];
  stateVersion?: string;
  explanation?: string;
  uneventfulDeliveries?: Delivery[];
};

export type TokenPage = { tokens?: Token[]; nextPageToken?: string };
export type WatchMessage = { event?: TokenEvent; cursor: string };

export type Part = {
  name: string;
  address: string;
  state: "ready" | "not ready" | "away";
  reasons: string[];
  metrics: string;
};
