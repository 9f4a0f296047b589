// The theme that was chosen, before anything is drawn; then its switch. Without scripts, the system's theme is used.
const root = document.documentElement;
const kept = localStorage.getItem("theme");
if (kept === "light" || kept === "dark") root.dataset.theme = kept;

addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector("[data-theme-switch]");
  if (!button) return;
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => (button.textContent = dark() ? "Light theme" : "Dark theme");
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    name();
  });
});

// A file that is chosen goes into the field that is sent.
addEventListener("DOMContentLoaded", () => {
  const chosen = document.querySelector("[data-into]");
  if (!chosen) return;
  chosen.closest("[hidden]").hidden = false;
  chosen.addEventListener("change", async () => {
    if (chosen.files[0]) document.getElementById(chosen.dataset.into).value = await chosen.files[0].text();
  });
});
