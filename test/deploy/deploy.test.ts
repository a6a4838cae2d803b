// What deploy/ says fits the product: names, values, ports, paths and files. No Docker and no cluster runs here.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { Registry } from "prom-client";
import { parse, parseAllDocuments } from "yaml";
import * as gateway from "../../gateway/config.js";
import { adminServer } from "../../lib/admin.js";
import * as service from "../../services/token-lifecycle/config.js";
import { nodeFlags } from "../../tools/parts.js";
import { temporaryFolder } from "../support/processes.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

type Part = "gateway" | "token-service";
const parts: Record<
  Part,
  { main: string; readConfig: (env: NodeJS.ProcessEnv) => { adminPort: number; port: number } }
> = {
  gateway: { main: "gateway/main.ts", readConfig: gateway.readConfig },
  "token-service": { main: "services/token-lifecycle/main.ts", readConfig: service.readConfig },
};
const names = Object.keys(parts) as Part[];

/** The settings that a part reads, as its own config.ts names them. */
const settingsOf = (part: Part): string[] =>
  [...textOf(parts[part].main.replace("main.ts", "config.ts")).matchAll(/^ {4}([A-Z][A-Z0-9_]*): \{/gm)].map(
    ([, name = ""]) => name,
  );

/** Fails for a variable that the part does not read, or a value that it does not take. */
function checkEnvironment(part: Part, env: Record<string, string>): void {
  const known = [...settingsOf(part), "NODE_ENV"];
  expect(
    Object.keys(env).filter((name) => !known.includes(name)),
    `${part} reads no such setting`,
  ).to.deep.equal([]);
  parts[part].readConfig({ REDIS_URL: "redis://tokens:x@redis:6379", ...env });
}

const dockerfile = textOf("deploy/Dockerfile");
/** The instructions of a stage, with those of the stages that it comes from before them. */
function stage(name: string): string[] {
  const stages = dockerfile.replaceAll("\\\n", " ").split(/^(?=FROM )/m);
  const own = stages.find((each) => each.startsWith("FROM") && new RegExp(`^FROM \\S+ AS ${name}\\n`).test(each)) ?? "";
  const [, base = ""] = /^FROM (\S+)/.exec(own) ?? [];
  const below = stages.some((each) => new RegExp(`^FROM \\S+ AS ${base}\\n`).test(each)) ? stage(base) : [];
  return [
    ...below,
    ...own
      .split("\n")
      .slice(1)
      .filter((line) => /^[A-Z]/.test(line)),
  ];
}
const environmentIn = (lines: string[]): Record<string, string> =>
  Object.fromEntries(
    lines.flatMap((line) => (line.startsWith("ENV ") ? line.slice(4).split(" ") : [])).map((pair) => pair.split("=")),
  );

describe("deploy/Dockerfile", () => {
  it("runs Node as the launcher does", () => {
    const [, entry = ""] = /^ENTRYPOINT (.*)$/m.exec(dockerfile) ?? [];
    expect(JSON.parse(entry)).to.deep.equal(["node", ...nodeFlags]);
  });

  it("copies what there is, and what .dockerignore lets in", () => {
    const allowed = textOf("deploy/Dockerfile.dockerignore").split("\n");
    for (const [, sources = ""] of dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm))
      for (const source of sources.split(" ")) {
        expect(existsSync(join(root, source)), source).to.equal(true);
        expect(allowed, source).to.include(`!${source}`);
      }
  });

  it("copies everything that the build compiles", () => {
    const { include } = JSON.parse(textOf("tsconfig.build.json"));
    for (const folder of include) expect(dockerfile, folder).to.match(new RegExp(`^COPY ${folder} ${folder}$`, "m"));
  });

  for (const part of names)
    describe(`as ${part}`, () => {
      const lines = stage(part);
      const config = parts[part].readConfig({ REDIS_URL: "redis://r" });

      it("runs as a user that is not root, by number", () => {
        const users = lines.filter((line) => line.startsWith("USER "));
        expect(users).to.deep.equal(["USER 10001:10001"]);
      });

      it("starts a file that the build makes", () => {
        const [command = "[]"] = lines.filter((line) => line.startsWith("CMD ")).slice(-1);
        const [file] = JSON.parse(command.slice(4));
        expect(file).to.equal(`dist/${parts[part].main.replace(".ts", ".js")}`);
        expect(existsSync(join(root, file))).to.equal(true);
      });

      it("listens where others reach it, in production", () => {
        const env = environmentIn(lines);
        expect(env).to.include({ NODE_ENV: "production", ADMIN_HOST: "0.0.0.0" });
        expect(Object.values(env)).to.include("0.0.0.0");
        checkEnvironment(part, { ...env, ...(part === "token-service" && tlsOf) });
      });

      it("opens the ports of the settings, and asks its own health there", () => {
        expect(lines).to.include(`EXPOSE ${config.port} ${config.adminPort}`);
        const check = lines.find((line) => line.startsWith("HEALTHCHECK "));
        expect(check).to.include(`http://127.0.0.1:${config.adminPort}/livez`);
      });
    });
});

// On an address that others reach the service starts with TLS alone.
const tlsOf = { TOKEN_SERVICE_TLS_DIR: "/conf/tls", TOKEN_SERVICE_POLICY_FILE: "/conf/policy/policy.json" };

type ComposeService = {
  image: string;
  user: string;
  read_only: boolean;
  cap_drop: string[];
  security_opt: string[];
  build?: { context: string; dockerfile: string; target: string };
  environment?: Record<string, string>;
  env_file?: string[];
  volumes: string[];
  ports?: string[];
  networks: string[];
  depends_on?: Record<string, unknown>;
  command?: string[];
};
type Compose = {
  services: Record<string, ComposeService>;
  volumes: object;
  networks: object;
  secrets: Record<string, { file: string }>;
};

describe("deploy/compose.yaml", () => {
  const compose = parse(textOf("deploy/compose.yaml"), { merge: true }) as Compose;
  const services = Object.entries(compose.services);
  // What lies in conf/ is made by make-conf.sh, here as where it is run.
  const conf = temporaryFolder();
  before(() => execFileSync(join(root, "deploy/make-conf.sh"), [join(conf.path, "conf")], { stdio: "ignore" }));
  after(conf.remove);
  const isThere = (source: string): boolean =>
    existsSync(join(source.startsWith("./conf/") ? conf.path : join(root, "deploy"), source));
  const partOf = (name: string): Part | undefined => names.find((part) => name.startsWith(part));

  it("runs two gateways, two token services, Redis, Prometheus and Grafana", () => {
    expect(Object.keys(compose.services)).to.deep.equal([
      ...["gateway-1", "gateway-2", "token-service-1", "token-service-2", "redis", "prometheus", "grafana"],
    ]);
  });

  for (const [name, each] of services) {
    it(`gives ${name} no root, no writable image and no privileges`, () => {
      expect(each.user).to.match(/^[1-9]\d*:\d+$/);
      expect(each.read_only).to.equal(true);
      expect(each.cap_drop).to.deep.equal(["ALL"]);
      expect(each.security_opt).to.deep.equal(["no-new-privileges:true"]);
    });

    it(`names an exact image of ${name}, and networks, volumes and services that there are`, () => {
      if (!each.build) expect(each.image).to.match(/:v?\d+\.\d+/);
      for (const network of each.networks) expect(compose.networks).to.have.property(network);
      for (const other of Object.keys(each.depends_on ?? {})) expect(compose.services).to.have.property(other);
      for (const mount of each.volumes) {
        const [source = ""] = mount.split(":");
        if (!source.startsWith("./")) expect(compose.volumes, mount).to.have.property(source);
        else expect(isThere(source), source).to.equal(true);
      }
    });

    it(`lets only this machine reach ${name} from outside`, () => {
      for (const port of each.ports ?? []) expect(port).to.match(/^127\.0\.0\.1:\d+:\d+$/);
    });

    const part = partOf(name);
    if (part)
      it(`gives ${name} settings that it reads and takes`, () => {
        expect(each.build).to.deep.equal({ context: "..", dockerfile: "deploy/Dockerfile", target: part });
        checkEnvironment(part, { ...environmentIn(stage(part)), ...each.environment });
      });
  }

  it("finds the files of its secrets and settings", () => {
    for (const { file } of Object.values(compose.secrets)) expect(isThere(file), file).to.equal(true);
    for (const [, { env_file = [] }] of services)
      for (const file of env_file) expect(isThere(`./${file}`), file).to.equal(true);
  });

  it("has Prometheus read the alert rules that are mounted, and not their tests", () => {
    const { rule_files } = parse(textOf("deploy/compose/prometheus.yml")) as { rule_files: string[] };
    const mounted = readdirSync(join(root, "deploy/prometheus"));
    const patterns = rule_files.map((file) => {
      const [, name = ""] = /^\/etc\/prometheus\/rules\/([\w.*-]+)$/.exec(file) ?? [];
      return new RegExp(`^${name.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
    });
    const read = mounted.filter((name) => patterns.some((pattern) => pattern.test(name)));
    expect(read).to.deep.equal(mounted.filter((name) => "groups" in parse(textOf(`deploy/prometheus/${name}`))));
    expect(read).to.have.lengthOf(1);
  });

  it("names every instance where it is called and asked", () => {
    const { TOKEN_SERVICE_URL = "" } = compose.services["gateway-1"]?.environment ?? {};
    expect(TOKEN_SERVICE_URL).to.equal("https://token-service-1:50051,https://token-service-2:50051");
    const { CONSOLE_PARTS = "" } = compose.services["token-service-1"]?.environment ?? {};
    const asked = CONSOLE_PARTS.split(",").map((url) => new URL(url).host);
    const scraped = parse(textOf("deploy/compose/prometheus.yml")).scrape_configs.flatMap(
      (job: { static_configs: { targets: string[] }[] }) => job.static_configs.flatMap(({ targets }) => targets),
    );
    expect(asked).to.deep.equal(["gateway-1:9464", "gateway-2:9464", "token-service-1:9465", "token-service-2:9465"]);
    expect(scraped).to.deep.equal(asked);
  });
});

type Container = {
  name: string;
  image: string;
  ports: { name: string; containerPort: number }[];
  env: { name: string; value?: string }[];
  securityContext: object;
  volumeMounts: { name: string; readOnly?: boolean }[];
  [probe: string]: unknown;
};
type Labels = { matchLabels: Record<string, string> };
type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: {
    replicas?: number;
    selector: Labels;
    podSelector: { matchLabels?: Record<string, string> };
    ports: { targetPort: string; port: number }[];
    scaleTargetRef: { name: string };
    ingress?: { ports: { port: string | number }[] }[];
    template: {
      metadata: { labels: Record<string, string> };
      spec: {
        automountServiceAccountToken: boolean;
        securityContext: object;
        containers: Container[];
        volumes: { name: string }[];
      };
    };
  };
};

describe("deploy/kubernetes", () => {
  const folder = join(root, "deploy/kubernetes");
  const kustomization = parse(textOf("deploy/kubernetes/kustomization.yaml"));
  const manifests = (kustomization.resources as string[]).flatMap((file) =>
    parseAllDocuments(readFileSync(join(folder, file), "utf8")).map((document) => {
      expect(document.errors, file).to.deep.equal([]);
      return document.toJS() as Manifest;
    }),
  );
  const ofKind = (...kinds: string[]): Manifest[] => manifests.filter(({ kind }) => kinds.includes(kind));
  const workloads = ofKind("Deployment", "StatefulSet");
  const workload = (part: string): Manifest => {
    const found = workloads.find(({ metadata }) => metadata.name === part);
    if (!found) throw new Error(`no workload ${part}`);
    return found;
  };
  const containerOf = (part: string): Container => {
    const [container, ...more] = workload(part).spec.template.spec.containers;
    expect(more).to.deep.equal([]);
    if (!container) throw new Error(`no container of ${part}`);
    return container;
  };
  const portsOf = (part: string) =>
    new Map(containerOf(part).ports.map(({ name, containerPort }) => [name, containerPort]));

  it("lists every file of its folder", () => {
    const used = [...kustomization.resources, "kustomization.yaml", ...kustomization.configMapGenerator[0].files];
    expect(readdirSync(folder).sort()).to.deep.equal(used.sort());
  });

  it("fits the types of Kubernetes 1.30, with no member that they do not know", () => {
    const module = (apiVersion: string) => (apiVersion.includes("/") ? apiVersion : `core/${apiVersion}`);
    const lines = manifests.map(({ apiVersion, kind, ...rest }, index) => {
      const path = module(apiVersion).replace(".k8s.io", "");
      const json = JSON.stringify({ apiVersion, kind, ...rest });
      return `import type { ${kind} as T${index} } from "kubernetes-types/${path}";\nexport const m${index}: T${index} = ${json};`;
    });
    const at = join(root, "dist/deploy-check");
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, "manifests.ts"), lines.join("\n"));
    const options = {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      module: "esnext",
      moduleResolution: "bundler",
      types: [],
    };
    writeFileSync(join(at, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["manifests.ts"] }));
    let found = "";
    try {
      execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", at], { encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      found = (error as { stdout: string }).stdout;
    }
    expect(found).to.equal("");
  });

  for (const part of names)
    describe(`as ${part}`, () => {
      const config = parts[part].readConfig({ REDIS_URL: "redis://r" });

      it("gets settings that it reads and takes", () => {
        const env = Object.fromEntries(containerOf(part).env.map(({ name, value }) => [name, value ?? "redis://r"]));
        checkEnvironment(part, { ...environmentIn(stage(part)), ...env });
      });

      it("is probed where it answers", async () => {
        const admin = adminServer(new Registry(), () => ({ reasons: [] })).listen(0, "127.0.0.1");
        await once(admin, "listening");
        const { port } = admin.address() as AddressInfo;
        try {
          for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
            const { httpGet } = containerOf(part)[probe] as { httpGet: { path: string; port: string } };
            expect(portsOf(part).get(httpGet.port), probe).to.equal(config.adminPort);
            expect((await fetch(`http://127.0.0.1:${port}${httpGet.path}`)).status, probe).to.equal(200);
          }
        } finally {
          admin.close();
        }
      });

      it("opens the ports of its settings", () => {
        expect([...portsOf(part).values()]).to.deep.equal([config.port, config.adminPort]);
      });

      it("runs restricted", () => {
        const { automountServiceAccountToken, securityContext } = workload(part).spec.template.spec;
        expect(automountServiceAccountToken).to.equal(false);
        expect(securityContext).to.deep.equal({
          ...{ runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001 },
          seccompProfile: { type: "RuntimeDefault" },
        });
        expect(containerOf(part).securityContext).to.deep.equal({
          ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
          capabilities: { drop: ["ALL"] },
        });
      });

      it("mounts the volumes that it has, to read", () => {
        const volumes = workload(part).spec.template.spec.volumes.map(({ name }) => name);
        const { volumeMounts } = containerOf(part);
        expect(volumeMounts.map(({ name }) => name)).to.deep.equal(volumes);
        expect(volumeMounts.every(({ readOnly }) => readOnly)).to.equal(true);
      });

      it("has an image that the kustomization names", () => {
        const images = kustomization.images.map(({ name }: { name: string }) => name);
        expect(images).to.include(containerOf(part).image);
      });
    });

  it("selects pods that there are", () => {
    const labels = workloads.map(({ spec }) => spec.template.metadata.labels.app);
    for (const { kind, metadata, spec } of ofKind("Service"))
      expect(labels, `${kind} ${metadata.name}`).to.include((spec.selector as unknown as Record<string, string>).app);
    for (const { kind, metadata, spec } of ofKind("PodDisruptionBudget", "Deployment", "StatefulSet"))
      expect(labels, `${kind} ${metadata.name}`).to.include(spec.selector.matchLabels.app);
    for (const { spec } of ofKind("HorizontalPodAutoscaler"))
      expect(workloads.map(({ metadata }) => metadata.name)).to.include(spec.scaleTargetRef.name);
  });

  it("leads services and network policies to ports that the pods open", () => {
    for (const { metadata, spec } of ofKind("Service")) {
      const { app = "" } = spec.selector as unknown as Record<string, string>;
      for (const { port, targetPort } of spec.ports)
        expect(portsOf(app).get(targetPort), `${metadata.name} ${targetPort}`).to.equal(port);
    }
    for (const { metadata, spec } of ofKind("NetworkPolicy"))
      for (const { port } of (spec.ingress ?? []).flatMap(({ ports }) => ports))
        expect(portsOf(spec.podSelector.matchLabels?.app ?? "").has(String(port)), metadata.name).to.equal(true);
  });

  it("denies every connection that no policy names", () => {
    const deny = ofKind("NetworkPolicy").find(({ metadata }) => metadata.name === "default-deny");
    expect(deny?.spec).to.deep.equal({ podSelector: {}, policyTypes: ["Ingress", "Egress"] });
  });

  it("tells the gateway the name of every token service", () => {
    const { replicas = 0 } = workload("token-service").spec;
    const url = containerOf("gateway").env.find(({ name }) => name === "TOKEN_SERVICE_URL")?.value;
    const hosts = Array.from(
      { length: replicas },
      (_, i) => `https://token-service-${i}.token-service.token-gateway.svc:50051`,
    );
    expect(url?.split(",")).to.deep.equal(hosts);
  });

  it("gives rights in a policy that the service reads", async () => {
    const { readPolicy } = await import("../../services/token-lifecycle/access/policy.js");
    expect([...readPolicy(join(folder, "policy.json")).keys()]).to.include("DNS:gateway.token-gateway.svc");
  });
});
