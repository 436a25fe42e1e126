// A greeting in Node.js with one dependency: GET /?name=Siti.
const http = require("node:http");
const escape = require("escape-html");

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/healthz") return response.end("ok\n");
  if (url.pathname !== "/") {
    response.statusCode = 404;
    return response.end("there is nothing here\n");
  }
  const name = url.searchParams.get("name") || "whoever you are";
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(`<!doctype html><title>Hello</title><h1>Hello, ${escape(name)}</h1><p>Node.js ${process.version}</p>\n`);
});

server.listen(process.env.PORT || 8080, () => console.log("listening", server.address().port));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
