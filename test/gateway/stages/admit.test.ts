import type { IncomingHttpHeaders } from "node:http";
import { expect } from "chai";
import { admit } from "../../../gateway/stages/admit.js";
import { apiPath } from "../../support/notification.js";
import { endpoint, endpoints, refusalOf } from "../../support/requests.js";

const refusal = (change: { method?: string; path?: string; headers?: IncomingHttpHeaders }): string =>
  refusalOf(() => admit({ method: "POST", path: apiPath, headers: {}, ...change }, endpoints));

describe("admit", () => {
  it("hands on the head with the endpoint of its path", () => {
    const head = { method: "POST", path: apiPath, headers: { "content-type": "application/json" } };
    expect(admit(head, endpoints)).to.deep.equal({ ...head, endpoint });
  });

  const paths = ["/", "", "*", `${apiPath}/`, `/${apiPath}`, apiPath.toLowerCase(), `${apiPath}%20`, "/aps/api/v1"];
  for (const path of [...paths, apiPath.replace("token", "%74oken"), `http://mpp.example.com${apiPath}`, "__proto__"])
    it(`refuses the path "${path}" as no API`, () => {
      expect(refusal({ path })).to.equal("NO_INTERFACE_DEF");
    });

  for (const method of ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "Post", ""])
    it(`refuses the method "${method}"`, () => {
      expect(refusal({ method })).to.equal("METHOD_NOT_SUPPORTED");
    });

  it("says that there is no such API before it says what is wrong with the call", () => {
    const headers = { "content-type": "text/plain" };
    expect(refusal({ path: "/", method: "GET", headers })).to.equal("NO_INTERFACE_DEF");
    expect(refusal({ method: "GET", headers })).to.equal("METHOD_NOT_SUPPORTED");
  });

  const headers: { name: string; takes: string[]; refuses: string[] }[] = [
    {
      name: "content-type",
      takes: [
        "application/json",
        "application/json; charset=UTF-8",
        "application/json;charset=utf-8",
        'application/json; charset="utf-8"',
        "application/json; charset=UTF8",
        "Application/JSON ; Charset=Utf-8",
        "application/json; profile=x; charset=utf-8",
      ],
      refuses: [
        "",
        "text/plain",
        "text/json",
        "application/json+x",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "application/json; charset=ISO-8859-1",
        "application/json; charset=UTF-16",
        "application/json; charset=",
        "application/json, text/plain",
        "charset=utf-8; application/json",
      ],
    },
    {
      name: "content-encoding",
      takes: ["identity", " Identity "],
      refuses: ["gzip", "br", "deflate", "gzip, identity", "", "x"],
    },
    {
      name: "accept",
      takes: [
        "",
        "*/*",
        "application/json",
        "application/*",
        "APPLICATION/JSON",
        "text/html, application/json",
        "application/json;charset=utf-8",
        "application/json;q=0.1",
        "text/html;q=1, */*;q=0.001",
        "*/*;q=0, application/json",
        "application/*;q=0, application/json;q=1",
      ],
      refuses: [
        "text/html",
        "text/*",
        "application/xml, text/html;q=0.9",
        "application/json;q=0",
        "application/json;q=0.000",
        "*/*;q=0",
        "application/json;q=0, */*",
        "application/*;q=0, */*;q=1",
        "application/json;q=high",
      ],
    },
  ];
  for (const { name, takes, refuses } of headers) {
    it(`takes a request without ${name}`, () => {
      expect(refusal({ headers: {} })).to.equal("none");
    });
    for (const value of takes)
      it(`takes ${name} "${value}"`, () => {
        expect(refusal({ headers: { [name]: value } })).to.equal("none");
      });
    for (const value of refuses)
      it(`refuses ${name} "${value}"`, () => {
        expect(refusal({ headers: { [name]: value } })).to.equal("MEDIA_TYPE_NOT_ACCEPTABLE");
      });
  }
});
