"use strict";
// Filters of the answers, and links that open the question they lead to. The page reads whole without any of it.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const questions = [...document.querySelectorAll("#answers details.question")].map((node) => ({
    node,
    text: plain(node.textContent),
    answers: [...node.querySelectorAll(".answer")].map((answer) => ({
      node: answer, model: answer.dataset.model, variant: answer.dataset.variant, tags: answer.dataset.tags.split(" "),
    })),
  }));
  const filter = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const words = plain(wanted.search).split(/\s+/).filter(Boolean);
    let count = 0;
    for (const question of questions) {
      let left = 0;
      for (const answer of question.answers) {
        const fits = (!wanted.model || answer.model === wanted.model)
          && (!wanted.variant || answer.variant === wanted.variant)
          && (!wanted.verdict || answer.tags.includes(wanted.verdict));
        answer.node.hidden = !fits;
        left += fits;
      }
      const fits = left > 0 && (!wanted.suite || question.node.dataset.suite === wanted.suite)
        && words.every((word) => question.text.includes(word));
      question.node.hidden = !fits;
      count += fits;
    }
    document.querySelector("#count").textContent = count;
    document.querySelector("#nothing").hidden = count > 0;
  };
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || !target.matches("details.question")) return;
    if (target.hidden) { form.reset(); filter(); }
    target.open = true;
    target.scrollIntoView();
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  addEventListener("hashchange", open);
  open();
})();
