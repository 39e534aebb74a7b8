"""An HTTP proxy for tests that takes CONNECT, on a free port of 127.0.0.1. Prints the port, serves until its input closes.

  connect_proxy.py [user:password] [--status N] [--dribble] [--glue]

With user:password others get 407. --status N answers every CONNECT with N. --dribble sends its answer byte by byte.
--glue waits for the server's first bytes and sends them in one piece with its answer.
CONNECT NAME:PORT goes to 127.0.0.1:PORT whatever the name is.
"""
import base64, os, socket, sys, threading, time


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def say(client, text, dribble):
    if not dribble:
        client.sendall(text)
        return
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(text)):
        client.sendall(text[i:i + 1])
        time.sleep(0.001)


def serve(client, secret, status, dribble, glue):
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            return
        head += data
    lines = head.split(b"\r\n")
    wanted = b"Proxy-Authorization: Basic " + base64.b64encode(secret.encode()) if secret else None
    if wanted and wanted not in lines:
        say(client, b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", dribble)
    elif status:
        say(client, b"HTTP/1.1 %d Some Reason\r\n\r\n" % status, dribble)
    elif not lines[0].startswith(b"CONNECT "):
        say(client, b"HTTP/1.1 405 Only CONNECT\r\n\r\n", dribble)
    else:
        server = socket.create_connection(("127.0.0.1", int(lines[0].split()[1].split(b":")[-1])))
        first = server.recv(65536) if glue else b""
        say(client, b"HTTP/1.1 200 Connection established\r\nX-Test: yes\r\n\r\n" + first, dribble)
        threading.Thread(target=pump, args=(server, client), daemon=True).start()
        pump(client, server)
        return
    client.close()


def main():
    args = sys.argv[1:]
    dribble, glue = "--dribble" in args, "--glue" in args
    status = int(args[args.index("--status") + 1]) if "--status" in args else 0
    secret = args[0] if args and not args[0].startswith("--") else ""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, secret, status, dribble, glue), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while os.read(0, 4096):
        pass


main()
