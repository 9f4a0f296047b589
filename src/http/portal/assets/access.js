
{
  // Copying needs a secure context; without one the buttons stay away.
  const copying = (button, text) => {
    button.hidden = !navigator.clipboard;
    const name = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = name), 2000);
    });
  };
  const made = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // Puts what an address answers where the same part of this page stands, as typing and starring go on.
  let newest = 0;
  const swap = async (request, keep) => {
    const own = ++newest;
    // Signed out meanwhile, which leads to another origin that may not be asked from here: go where the portal leads.
    const response = await fetch(...request).catch(() => null);
    if (!response?.ok || new URL(response.url).pathname !== location.pathname) return location.assign(location.href);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const found = page.getElementById("found");
    if (own !== newest || !found) return;
    document.getElementById("found").replaceWith(document.adoptNode(found));
    const stars = page.getElementById("stars");
    if (stars) document.getElementById("stars")?.setAttribute("action", stars.getAttribute("action"));
    const roles = found.querySelectorAll(".roles li").length;
    document.querySelector("[role=status]").textContent = `${roles || "No"} ${roles === 1 ? "role" : "roles"} shown`;
    keep?.();
  };
  const startSearch = () => {
    const form = document.querySelector("form[data-live]");
    if (!form) return;
    const field = form.elements.q;
    let waiting;
    const look = () => {
      const text = field.value.trim();
      const address = form.getAttribute("action") + (text && `?${new URLSearchParams({ q: text })}`);
      history.replaceState(null, "", address);
      swap([address]);
    };
    field.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(look, 150);
    });
    document.getElementById("stars")?.addEventListener("submit", (event) => {
      event.preventDefault();
      const { action } = event.target;
      const body = new URLSearchParams(new FormData(event.target, event.submitter));
      const { value } = event.submitter;
      swap([action, { method: "POST", body }], () => document.querySelector(`.star[value="${CSS.escape(value)}"]`)?.focus());
    });
  };

  // Credentials: tabs out of the details, hidden until asked for, gone when the page is left or they are over.
  const startGiven = () => {
    const given = document.querySelector("[data-given]");
    if (!given) return;
    const secrets = [];
    const hideAll = () => secrets.forEach((secret) => secret.hide());
    const leave = () => {
      for (const secret of secrets) secret.text = "";
      given.remove();
      document.querySelector(".gone").hidden = false;
    };
    for (const shown of given.querySelectorAll("[data-text]")) {
      const secret = { text: shown.textContent };
      const show = made("button", { type: "button" });
      const copy = made("button", { type: "button", className: "primary" });
      // Many buttons say the same: to those who hear them each says what of, too.
      const says = (button, word) => {
        button.textContent = word;
        button.ariaLabel = `${word}: ${shown.ariaLabel}`;
      };
      secret.hide = () => {
        shown.textContent = "•".repeat(24);
        says(show, "Show");
      };
      show.addEventListener("click", () => {
        if (show.textContent === "Hide") return secret.hide();
        shown.textContent = secret.text;
        says(show, "Hide");
      });
      says(copy, "Copy");
      show.hidden = !("secret" in shown.dataset);
      copying(copy, () => secret.text);
      shown.after(made("div", { className: "do" }, copy, show));
      if (!show.hidden) {
        secret.hide();
        secrets.push(secret);
      }
    }
    startTabs(given.querySelector(".forms"));
    startCountdown(given, leave);
    // Out of sight: covered. Left: gone, and not there again where the browser keeps the page for the way back.
    addEventListener("visibilitychange", () => document.hidden && hideAll());
    addEventListener("pagehide", leave);
  };
  const startTabs = (forms) => {
    const list = made("div");
    list.setAttribute("aria-label", "For");
    const panels = [...forms.querySelectorAll("details")].map((details) => {
      const id = details.dataset.tab;
      const tab = made("button", { type: "button", id: `tab-${id}`, textContent: details.firstElementChild.textContent });
      details.firstElementChild.remove();
      const panel = made("div", { id: `panel-${id}` }, ...details.childNodes);
      for (const [name, value] of Object.entries({ role: "tab", "aria-controls": panel.id })) tab.setAttribute(name, value);
      for (const [name, value] of Object.entries({ role: "tabpanel", "aria-labelledby": tab.id })) panel.setAttribute(name, value);
      details.replaceWith(panel);
      list.append(tab);
      return { tab, panel };
    });
    const choose = (chosen, focus) => {
      for (const { tab, panel } of panels) {
        const is = tab === chosen;
        tab.setAttribute("aria-selected", is);
        tab.tabIndex = is ? 0 : -1;
        panel.hidden = !is;
      }
      if (focus) chosen.focus();
      localStorage.setItem("form", chosen.id);
    };
    list.setAttribute("role", "tablist");
    list.addEventListener("click", (event) => event.target.role === "tab" && choose(event.target));
    list.addEventListener("keydown", (event) => {
      const at = panels.findIndex(({ tab }) => tab === event.target);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(panels.at(to % panels.length).tab, true);
    });
    forms.prepend(list);
    choose(panels.find(({ tab }) => tab.id === localStorage.getItem("form"))?.tab ?? panels[0].tab);
  };
  const startCountdown = (given, over) => {
    const ends = Date.parse(given.querySelector("[data-ends]").dateTime);
    const left = given.querySelector(".left");
    const tick = () => {
      const seconds = Math.floor((ends - Date.now()) / 1000);
      if (seconds <= 0) {
        clearInterval(ticking);
        return over();
      }
      const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
      left.textContent = `${h ? `${h} h ` : ""}${h || m ? `${m} min ` : ""}${s} s left`;
    };
    const ticking = setInterval(tick, 1000);
    left.hidden = false;
    tick();
  };

  addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-copy]")) copying(button, () => button.dataset.copy);
    startSearch();
    startGiven();
  });
}
