// Finds a secret in bytes of any kind, also when something on the way wrote it in another form.

/** The forms in which software writes a text: as it is, in UTF-16, hex and base64, and as a list of numbers. */
export function disguisesOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret);
  const swapped = Buffer.from(secret, "utf16le").swap16();
  // What stands before it decides which third of a base64 group it starts in; characters shared with neighbours are left out.
  const inBase64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
    return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
  });
  const hex = bytes.toString("hex");
  const texts = [secret, hex, hex.toUpperCase(), ...inBase64, [...bytes].join(","), [...bytes].join(", ")];
  return [...texts.map((text) => Buffer.from(text)), Buffer.from(secret, "utf16le"), swapped];
}

/** True when one of the secrets is in there, in whatever form. */
export function reveals(content: Buffer, secrets: readonly string[]): boolean {
  return secrets.some((secret) => disguisesOf(secret).some((form) => content.includes(form)));
}
