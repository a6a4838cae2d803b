// A Redis Cluster on loopback: three masters, each with a replica, that a test can break and move slots of.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Cluster, Redis } from "ioredis";
import { slotOf } from "../../services/token-lifecycle/store/cluster.js";
import { eventsKey, partitions } from "../../services/token-lifecycle/store/keys.js";
import { connectRedis, type RedisClient, redisAddressOf } from "../../services/token-lifecycle/store/redis.js";
import { redisServerProgram } from "../../tools/redis-child.js";
import { endOf, stopChild } from "../../tools/supervise.js";
import { until } from "./processes.js";
import { freePort } from "./programs.js";

export type TestCluster = {
  readonly url: string;
  /** A connection of the test's own; closed by `stop`. */
  readonly connect: () => Promise<RedisClient>;
  /** The port of the master that has a partition. */
  readonly masterOf: (partition: number) => Promise<number>;
  /** Moves a partition to a master that does not have it, key by key; to any, or to that of a port. */
  readonly movePartition: (partition: number, to?: number) => Promise<void>;
  /** Adds a master with a replica, and gives back its port. It has no slots yet. */
  readonly addMaster: () => Promise<number>;
  /** Changes a setting of the master that has a partition. */
  readonly configure: (partition: number, name: string, value: string) => Promise<void>;
  /** Stops the replica of a partition where it stands, so that its master still counts it; gives back what lets it go on. */
  readonly freezeReplicaOf: (partition: number) => Promise<() => void>;
  /** Kills the master of a partition and waits until its replica serves; gives back what starts the dead one again. */
  readonly killMasterOf: (partition: number) => Promise<() => Promise<void>>;
  readonly stop: () => Promise<void>;
};

type Node = { readonly port: number; readonly dir: string; process: ChildProcess; readonly connection: Redis };

const masters = 3;
const slots = 16_384;

export async function startTestCluster(folder: string, nodeTimeoutMs = 1_500): Promise<TestCluster> {
  const program = redisServerProgram(() => {});
  const launch = (port: number, dir: string): ChildProcess => {
    const options = {
      ...{ port, bind: "127.0.0.1", dir, save: "", logfile: join(dir, "redis.log") },
      ...{ appendonly: "yes", appendfsync: "always", "maxmemory-policy": "noeviction" },
      ...{ "cluster-enabled": "yes", "cluster-node-timeout": nodeTimeoutMs, "repl-diskless-sync-delay": 0 },
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return spawn(program, args, { stdio: "ignore" });
  };
  const nodes: Node[] = [];
  const addNode = async (): Promise<Node> => {
    // The bus of the nodes listens 10,000 ports above.
    let port = await freePort();
    while (port > 55_000) port = await freePort();
    const dir = join(folder, `node-${nodes.length}`);
    mkdirSync(dir, { recursive: true });
    const connection = new Redis({
      ...{ port, host: "127.0.0.1", maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 5_000 },
      ...{ retryStrategy: () => 20, enableReadyCheck: false },
    });
    connection.on("error", () => {});
    const node = { port, dir, process: launch(port, dir), connection };
    nodes.push(node);
    return node;
  };
  for (let i = 0; i < 2 * masters; i++) await addNode();
  const connections: RedisClient[] = [];
  const stop = async (): Promise<void> => {
    for (const { connection } of nodes) connection.disconnect();
    for (const connection of connections) connection.disconnect();
    await Promise.all(nodes.map(({ process }) => stopChild(process, 2_000)));
  };
  try {
    await form(nodes);
  } catch (error) {
    await stop();
    throw error;
  }

  const alive = (): Node[] => nodes.filter(({ connection }) => connection.status === "ready");
  const at = (port: number): Node => {
    const node = nodes.find((each) => each.port === port);
    if (node === undefined) throw new Error(`no node at ${port}`);
    return node;
  };
  const idOf = async (node: Node): Promise<string> => String(await node.connection.cluster("MYID"));
  /** The master of a partition, as one node knows it. */
  const masterAsKnownTo = async (node: Node | undefined, partition: number): Promise<number> => {
    const slot = slotOf(eventsKey(partition));
    for (const [from, to, [, port] = ["", 0]] of await slotsAt(node)) if (slot >= from && slot <= to) return port;
    throw new Error(`nobody has slot ${slot}`);
  };
  const masterOf = (partition: number): Promise<number> => masterAsKnownTo(alive()[0], partition);
  /** Until then a replica that is promoted may claim what its master no longer had, and take the data with it. */
  const untilAllKnow = (partition: number, is: (master: number) => boolean): Promise<void> =>
    until(
      "all nodes know who has the partition",
      async () => (await Promise.all(alive().map((node) => masterAsKnownTo(node, partition)))).every(is),
      20_000,
    );

  return {
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`,
    masterOf,
    stop,
    async connect() {
      const redis = connectRedis(redisAddressOf(`redis+cluster://127.0.0.1:${alive()[0]?.port}`), 5_000);
      redis.on("error", () => {});
      connections.push(redis);
      await until("the connection is ready", () => redis.status === "ready");
      if (redis instanceof Cluster)
        await until("its nodes are too", () => redis.nodes("master").every(({ status }) => status === "ready"));
      return redis;
    },
    async addMaster() {
      const [known, master, replica] = [alive()[0], await addNode(), await addNode()];
      await until("both answer", () => [master, replica].every(({ connection }) => connection.status === "ready"));
      for (const node of [master, replica]) await node.connection.cluster("MEET", "127.0.0.1", known?.port ?? 0);
      const id = await idOf(master);
      await until("it replicates", () => replica.connection.cluster("REPLICATE", id).then(isDone, isNotDone));
      const isWhole = async (): Promise<boolean> => {
        const infos = await Promise.all(alive().map(({ connection }) => connection.cluster("INFO")));
        const marks = ["cluster_state:ok", `cluster_known_nodes:${nodes.length}`];
        return infos.every((info) => marks.every((mark) => String(info).includes(mark))) && (await isInStep(replica));
      };
      await until("all know it, and it has its replica", isWhole, 20_000);
      return master.port;
    },
    async movePartition(partition, port) {
      const slot = slotOf(eventsKey(partition));
      const source = at(await masterOf(partition));
      const owners = await Promise.all(Array.from({ length: partitions }, (_, each) => masterOf(each)));
      const target = at(port ?? owners.find((owner) => owner !== source.port) ?? 0);
      const [from, to] = [await idOf(source), await idOf(target)];
      await target.connection.cluster("SETSLOT", slot, "IMPORTING", from);
      await source.connection.cluster("SETSLOT", slot, "MIGRATING", to);
      for (;;) {
        const keys = (await source.connection.cluster("GETKEYSINSLOT", slot, 20)) as string[];
        if (keys.length === 0) break;
        await source.connection.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", ...keys);
      }
      for (const node of [target, source, ...alive()])
        await node.connection.cluster("SETSLOT", slot, "NODE", to).catch(() => {});
      await untilAllKnow(partition, (master) => master === target.port);
    },
    async configure(partition, name, value) {
      await at(await masterOf(partition)).connection.config("SET", name, value);
    },
    async freezeReplicaOf(partition) {
      const info = await at(await masterOf(partition)).connection.info("replication");
      const replica = at(Number(/slave0:ip=[^,]+,port=(\d+)/.exec(info)?.[1]));
      replica.process.kill("SIGSTOP");
      return () => void replica.process.kill("SIGCONT");
    },
    async killMasterOf(partition) {
      const dead = at(await masterOf(partition));
      const ended = endOf(dead.process);
      dead.process.kill("SIGKILL");
      await ended;
      await until("the connection is gone", () => dead.connection.status !== "ready");
      await untilAllKnow(partition, (master) => master !== dead.port);
      return async () => {
        dead.process = launch(dead.port, dead.dir);
        await until("it is a replica again", async () => isInStep(dead), 20_000);
      };
    },
  };
}

const isDone = (): boolean => true;
const isNotDone = (): boolean => false;

type Slots = [from: number, to: number, ...masterThenReplicas: [host: string, port: number][]][];
const slotsAt = async (node: Node | undefined): Promise<Slots> =>
  (await node?.connection.call("CLUSTER", "SLOTS")) as Slots;

const isInStep = async ({ connection }: Node): Promise<boolean> =>
  /role:slave[\s\S]*master_link_status:up/.test(await connection.info("replication").catch(() => ""));

async function form(nodes: readonly Node[]): Promise<void> {
  const on = <T>(node: Node, ...args: [string, ...(string | number)[]]) =>
    node.connection.call("CLUSTER", ...args) as T;
  await until("all nodes answer", () => nodes.every(({ connection }) => connection.status === "ready"));
  await Promise.all(nodes.map((node, i) => on(node, "SET-CONFIG-EPOCH", i + 1)));
  await Promise.all(
    nodes.slice(0, masters).map((node, i) => {
      const [from, to] = [Math.floor((i * slots) / masters), Math.floor(((i + 1) * slots) / masters) - 1];
      return on(node, "ADDSLOTSRANGE", from, to);
    }),
  );
  // Each to each, which is faster than waiting for what they tell each other.
  await Promise.all(nodes.flatMap((node) => nodes.map(({ port }) => on(node, "MEET", "127.0.0.1", port))));
  const infoOf = (node: Node) => on<Promise<string>>(node, "INFO");
  await until(
    "all nodes know each other",
    async () => (await Promise.all(nodes.map(infoOf))).every((info) => info.includes("cluster_known_nodes:6")),
    20_000,
  );
  const ids = await Promise.all(nodes.map((node) => on<Promise<string>>(node, "MYID")));
  for (const [i, node] of nodes.entries())
    if (i >= masters)
      await until("it replicates", () =>
        on<Promise<unknown>>(node, "REPLICATE", ids[i - masters] ?? "").then(isDone, isNotDone),
      );
  const isReady = async (): Promise<boolean> => {
    const infos = await Promise.all(nodes.map(infoOf));
    const inStep = await Promise.all(nodes.slice(masters).map(isInStep));
    const known = await Promise.all(nodes.map(slotsAt));
    return (
      infos.every((info) => info.includes("cluster_state:ok")) &&
      inStep.every(Boolean) &&
      known.every((each) => each.length === masters)
    );
  };
  await until("the cluster is whole", isReady, 20_000);
}
