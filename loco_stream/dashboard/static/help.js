"use strict";
// The question mark beside a title: a sentence, and a link to the guide of the page.

function helpMark(panel) {
  const mark = document.createElement("details"), summary = document.createElement("summary");
  const text = document.createElement("p"), link = document.createElement("a");
  mark.className = "help";
  summary.textContent = "?";
  summary.setAttribute("aria-label", "Help: " + panel.title);
  link.href = "guide#" + panel.id;
  link.textContent = "More";
  text.append(panel.help + " ", link);
  mark.append(summary, text);
  return mark;
}

// One help text is open at a time; a click elsewhere or Escape closes it.
function closeHelp(kept) {
  for (const mark of document.querySelectorAll(".help[open]")) if (mark !== kept) mark.open = false;
}
document.addEventListener("click", (event) => closeHelp(event.target.closest(".help")));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeHelp(null); });
