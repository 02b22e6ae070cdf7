"use strict";

// Everything that comes from Redis becomes a text node: there is no place here where a string turns into HTML.
(() => {
  const told = document.body.dataset;
  if (!told.source) return;
  const texts = JSON.parse(told.texts);
  const rows = document.getElementById("rows");
  const notice = document.getElementById("notice");
  const mayChange = told.mayChange === "yes";
  const lists = ["queued", "started", "finished", "failed", "deferred", "scheduled", "canceled"];
  const path = (...parts) => told.base + parts.map(encodeURIComponent).join("/");
  const jobPath = (id) => path("0", "view", "job", id);
  const jobsPath = (queue, list, order = "asc", page = 1) =>
    path("0", "view", "jobs", queue, list, told.perPage, order, page);
  const moment = (iso) => (iso ? iso.replace("T", " ").slice(0, 19) : "–");

  function make(name, content = [], properties = {}) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...[content].flat().filter((one) => one !== null && one !== undefined));
    return element;
  }
  const cell = (content, className = "") => make("td", content, { className });
  const link = (text, href, className = "") => make("a", String(text), { href, className });
  const button = (text, change, properties = {}) => {
    const made = make("button", text, { type: "button", className: properties.sure ? "danger" : "" });
    Object.assign(made.dataset, { change, ...properties });
    return made;
  };

  function queueRow(queue) {
    const counts = lists.map((list) =>
      cell(link(queue[list], jobsPath(queue.name, list), queue[list] ? "" : "zero"), "number"));
    return make("tr", [cell(link(queue.name, jobsPath(queue.name, "queued")), "text"), ...counts]);
  }

  function workerRow(worker) {
    const job = worker.current_job;
    const current = job === "idle" ? "–" : link(job.description || job.job_id, jobPath(job.job_id));
    const version = `RQ ${worker.version} / Python ${worker.python_version}`;
    return make("tr", [
      make("td", worker.name, { className: "text", title: version }),
      cell(texts[worker.state] || worker.state),
      cell(current, "text"),
      cell(worker.queues.join(", "), "text"),
      cell(String(worker.successful_job_count), "number"),
      cell(String(worker.failed_job_count), "number"),
      cell(moment(worker.last_heartbeat)),
    ]);
  }

  function jobRow(job) {
    const about = [make("div", job.description || ""), link(job.id, jobPath(job.id))];
    if (job.exc_info) about.push(make("pre", job.exc_info));
    const made = make("tr", [cell(about, "text"), cell(moment(job.created_at)), cell(moment(job.ended_at))]);
    if (mayChange) {
      const actions = [button(texts.delete, path("job", job.id, "delete"), { sure: "yes" })];
      if (job.exc_info) actions.unshift(button(texts.requeue, path("job", job.id, "requeue")), " ");
      made.append(cell(actions));
    }
    return made;
  }

  function drawPages(pagination) {
    const pages = document.getElementById("pages");
    const { queue, registry, order } = pages.dataset;
    const page = Number(pages.dataset.page);
    const to = (text, number) => link(text, jobsPath(queue, registry, order, number));
    pages.replaceChildren(
      page > 1 ? to(texts.previous, page - 1) : "",
      `${texts.page} ${page} / ${Math.max(1, pagination.num_pages)}`,
      page < pagination.num_pages ? to(texts.next, page + 1) : "");
  }

  function drawJob(job) {
    const known = (value) => (value === null || value === undefined || value === "" ? "–" : value);
    const shown = {
      description: known(job.description),
      origin: job.origin ? link(job.origin, jobsPath(job.origin, "queued")) : "–",
      status: texts[job.status] || known(job.status),
      created_at: moment(job.created_at),
      enqueued_at: moment(job.enqueued_at),
      started_at: moment(job.started_at),
      ended_at: moment(job.ended_at),
      result: make("pre", JSON.stringify(job.result, null, 2)),
      metadata: make("pre", known(job.metadata)),
      exc_info: job.exc_info ? make("pre", job.exc_info) : "–",
    };
    if (job.depends_on) shown.depends_on = job.depends_on.flatMap((id) => [link(id, jobPath(id)), " "]);
    rows.replaceChildren(
      ...Object.entries(shown).flatMap(([name, value]) => [make("dt", texts[name]), make("dd", value)]));
    const requeue = document.getElementById("requeue");
    if (requeue) requeue.hidden = job.status !== "failed";
  }

  function drawRows(made) {
    const empty = make("tr", make("td", texts.nothing, { colSpan: 8 }));
    rows.replaceChildren(...(made.length ? made : [empty]));
  }

  const value = (id) => document.getElementById(id).value;
  const draw = {
    queues: (data) => drawRows(data.queues.map(queueRow)),
    workers: (data) => drawRows(data.workers.map(workerRow)),
    jobs: (data) => { drawRows(data.jobs.map(jobRow)); drawPages(data.pagination); },
    job: drawJob,
  }[told.page];

  async function ask(address, options = {}) {
    const answer = await fetch(address, {
      cache: "no-store", headers: { Accept: "application/json", [told.tokenHeader]: told.token }, ...options,
    });
    const data = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(data.message || texts.away), { status: answer.status });
    return data;
  }

  function say(text, more = "") { notice.replaceChildren(text, more); }

  function complain(error) {
    const message = error.status ? error.message : texts.away;
    say(message, error.status === 401 ? link(texts.log_in, "/login?next=" + encodeURIComponent(location.pathname)) : "");
  }

  let complained = false;
  async function refresh() {
    try {
      draw(await ask(told.source));
      if (complained) say("");
      complained = false;
    } catch (error) {
      complained = true;
      complain(error);
    }
  }

  async function change(clicked) {
    if (clicked.dataset.sure && !window.confirm(`${clicked.textContent}: ${texts.sure}`)) return;
    clicked.disabled = true;
    try {
      await ask(clicked.dataset.change, { method: "POST" });
      if (clicked.dataset.leave) { location.assign(told.base); return; }
      await refresh();
      say(texts.changed);
    } catch (error) {
      complain(error);
    } finally {
      clicked.disabled = false;
    }
  }

  document.addEventListener("click", (event) => {
    const clicked = event.target.closest("[data-change]");
    if (clicked) change(clicked);
  });
  document.getElementById("choose")?.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(jobsPath(value("queue"), value("registry"), value("order")));
  });

  async function watch() {
    // A page in the background asks nothing.
    if (!document.hidden && document.getElementById("refresh").checked) await refresh();
    setTimeout(watch, Number(told.poll) * 1000);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  refresh().then(() => setTimeout(watch, Number(told.poll) * 1000));
})();
