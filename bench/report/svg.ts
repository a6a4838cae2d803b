// A small writer of SVG: elements, and scales with ticks at round values.

export type Attributes = Readonly<Record<string, string | number>>;

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, (sign) => escapes[sign] ?? "");

/** Coordinates to a tenth of a pixel: more would only make each run's file look different. */
const written = (value: string | number): string =>
  typeof value === "number" ? String(Math.round(value * 10) / 10) : escaped(value);

/** `children` are elements already written. */
export function element(name: string, attributes: Attributes, children: readonly string[] = []): string {
  const open = `<${name}${Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${written(value)}"`)
    .join("")}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join("\n")}</${name}>`;
}

export const text = (x: number, y: number, words: string, attributes: Attributes = {}): string =>
  `${element("text", { x, y, ...attributes }).slice(0, -2)}>${escaped(words)}</text>`;

/** A whole picture on white ground. */
export const picture = (width: number, height: number, title: string, children: readonly string[]): string =>
  `${element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${width} ${height}`,
      ...{ width, height, role: "img", "font-family": "sans-serif", "font-size": 12, fill: "#222" },
    },
    [
      `<title>${escaped(title)}</title>`,
      element("rect", { width, height, fill: "#fff" }),
      text(16, 24, title, { "font-size": 15, "font-weight": "bold" }),
      ...children,
    ],
  )}\n`;

/** Distinguishable also for most who do not see all colours (Okabe and Ito). */
export const colours = [
  "#0072b2",
  "#e69f00",
  "#009e73",
  "#cc79a7",
  "#56b4e9",
  "#d55e00",
  "#8a8a8a",
  "#b8a800",
] as const;

export const colourOf = (index: number): string => colours[index % colours.length] ?? "#000";

export type Scale = { readonly at: (value: number) => number; readonly ticks: readonly number[] };

/** From 0 to `most` onto from..to, with about `count` ticks at 1, 2 or 5 times a power of ten. */
export function linearScale(most: number, from: number, to: number, count = 6): Scale {
  const end = most > 0 ? most : 1;
  const raw = end / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((times) => times * power >= raw) ?? 10) * power;
  const ticks = Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => index * step);
  return { at: (value) => from + (value / end) * (to - from), ticks };
}

/** Powers of ten, and their doubles and fivefolds, between two values above 0. */
export function logScale(least: number, most: number, from: number, to: number): Scale {
  const low = Math.log10(least);
  const span = Math.max(Math.log10(most) - low, 0.1);
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= Math.log10(most); power++)
    for (const times of [1, 2, 5]) {
      const tick = times * 10 ** power;
      if (tick >= least * 0.999 && tick <= most * 1.001) ticks.push(tick);
    }
  return { at: (value) => from + ((Math.log10(value) - low) / span) * (to - from), ticks };
}

/** A tick's value in few signs. */
export const tickText = (value: number): string =>
  value >= 1_000 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(3)));
