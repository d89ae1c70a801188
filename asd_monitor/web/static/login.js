"use strict";
// A link from another site arrives without the session's cookie (SameSite=Strict), although
// the browser has one; a request from this page sends it.
const form = document.querySelector("form[data-next]");
fetch("/whoami").then((response) => {
  if (response.status === 204) location.replace(form.dataset.next);
}).catch(() => {});
