// Only pages served by `mdrbench serve --watch` load this: they reload when the site was built again.
"use strict";
(async () => {
  let was = null;
  for (;;) {
    try {
      const now = await (await fetch("/.mdrbench-site", { cache: "no-store" })).text();
      if (was !== null && now !== was) window.location.reload();
      was = now;
    } catch { /* the server is away: try again */ }
    await new Promise((done) => { setTimeout(done, 1000); });
  }
})();
