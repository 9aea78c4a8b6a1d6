const back = document.getElementById("back");
setTimeout(() => (back instanceof HTMLFormElement ? back.submit() : location.assign(back.href)), 4000);
