// Search in a site that is read from files. Browsers start no worker from a file, so what a page
// takes for a worker is a hidden frame here. Stands in for the shim that the theme would load
// from the network.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.inside = frame.contentWindow;
      window.addEventListener("message", (event) => {
        if (event.source === this.inside) {
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        }
      });
      const load = `
        window.postMessageHere = window.postMessage.bind(window);
        postMessage = (data) => parent.postMessage(data, "*");
        importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done) => {
          const script = document.createElement("script");
          script.src = url;
          script.onload = done;
          document.body.appendChild(script);
        })), Promise.resolve());`;
      this.ready = new Promise((done) => {
        this.inside.document.open();
        this.inside.document.write(`<body><script>${load}</script><script src="${url}"></script></body>`);
        this.inside.document.close();
        frame.onload = done;
      });
    }
    postMessage(data) {
      this.ready.then(() => this.inside.postMessageHere(data, "*"));
    }
    terminate() {}
  };
  window.Worker = window.IFrameWorker;
}
