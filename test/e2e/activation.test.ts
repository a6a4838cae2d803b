import { expect } from "chai";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack } from "../support/processes.js";

describe("an activation", () => {
  let stack: TestStack;
  before(async () => {
    stack = await startTestStack();
  });
  after(() => stack.stop());
  it("answers SUCCESS", async () => {
    const a = await notify(stack.gateway.url, notification());
    expect(a.result.resultCode).to.equal("SUCCESS");
    expect(a.isSigned).to.equal(true);
  });
});
