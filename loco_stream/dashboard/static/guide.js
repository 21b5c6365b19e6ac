"use strict";
// The guide of the page: a section per panel.

const stored = localStorage.getItem("theme");
const isDark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = isDark ? "dark" : "light";
for (const panel of PANELS) {
  const section = document.createElement("section");
  section.id = panel.id;
  for (const [tag, text] of [["h2", panel.title], ["p", panel.help], ["p", panel.more], ["p", `More in the documentation, on the page “${panel.see.replace(".md", "")}”`]]) {
    section.appendChild(document.createElement(tag)).textContent = text;
  }
  section.lastChild.className = "quiet";
  document.getElementById("main").append(section);
}
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
