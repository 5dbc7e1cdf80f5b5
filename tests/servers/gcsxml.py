#!/usr/bin/env python3
"""Cloud Storage's XML API over fake-gcs-server, which speaks the JSON API only.

    gcsxml.py PORT JSON_PORT        both on 127.0.0.1

Serves what a client of objects needs: put, get, head, delete, list, and multipart uploads (start, part, complete, abort, and a list of those that are
unfinished). Parts wait in memory and become one object of the JSON API when the upload is completed, so an object shows when it is whole.
Reference: https://cloud.google.com/storage/docs/xml-api/overview
"""
import base64
import hashlib
import http.client
import json
import re
import sys
import threading
import uuid
from email.utils import formatdate
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PORT, JSON_PORT = int(sys.argv[1]), int(sys.argv[2])
META = "x-goog-meta-"
HEADERS = {  # header of the XML API -> field of the JSON API
    "Content-Encoding": "contentEncoding",
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Language": "contentLanguage",
}


class Failure(Exception):
    """An answer that is no success."""

    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


class Uploads:
    """Multipart uploads that are not finished: id -> (bucket, key, headers, {number: bytes}), and when they were begun."""

    def __init__(self):
        self.lock, self.all, self.begun = threading.Lock(), {}, {}

    def start(self, bucket, key, headers):
        number = uuid.uuid4().hex
        with self.lock:
            self.all[number] = (bucket, key, headers, {})
            self.begun[number] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return number

    def find(self, number):
        with self.lock:
            if number not in self.all:
                raise Failure(404, "NoSuchUpload")
            return self.all[number]

    def end(self, number):
        self.find(number)
        with self.lock:
            return self.all.pop(number, None)

    def keys(self, bucket):
        with self.lock:
            return sorted((key, number, self.begun[number]) for number, (of, key, _, _) in self.all.items() if of == bucket)


UPLOADS = Uploads()


def ask(method, path, body=None, headers=None):
    """One request of the JSON API: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", JSON_PORT, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def object_path(bucket, key):
    return f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(key, safe='')}"


def check_bucket(bucket):
    if ask("GET", f"/storage/v1/b/{quote(bucket, safe='')}")[0] != 200:
        raise Failure(404, "NoSuchBucket")


def describe(bucket, key):
    status, _, body = ask("GET", object_path(bucket, key))
    if status != 200:
        check_bucket(bucket)
        raise Failure(404, "NoSuchKey")
    return json.loads(body)


def etag(meta):
    digest = meta.get("md5Hash")
    return f'"{base64.b64decode(digest).hex()}"' if digest else f'"{meta.get("generation", 0)}"'


def put(bucket, key, data, headers):
    """Makes an object visible, whole."""
    kind = headers.get("Content-Type") or "application/octet-stream"
    meta = {"name": key, "contentType": kind, "metadata": {k[len(META):].lower(): v for k, v in headers.items() if k.lower().startswith(META)}}
    meta.update({field: headers[header] for header, field in HEADERS.items() if headers.get(header)})
    boundary = uuid.uuid4().hex
    opening = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(meta)}\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
    body = opening.encode() + data + f"\r\n--{boundary}--".encode()
    path = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o?uploadType=multipart"
    condition = headers.get("x-goog-if-generation-match")
    if condition is not None:
        path += f"&ifGenerationMatch={condition}"
    status, _, answer = ask("POST", path, body, {"Content-Type": f"multipart/related; boundary={boundary}"})
    if status == 412:
        raise Failure(412, "PreconditionFailed")
    if status != 200:
        check_bucket(bucket)
        raise Failure(status if status >= 400 else 500, "InternalError")
    return json.loads(answer)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=(), length=None):
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def xml(self, text, status=200, headers=()):
        self.answer(status, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), [("Content-Type", "application/xml"), *headers])

    def serve(self):
        split = urlsplit(self.path)
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))
        bucket, _, key = split.path.lstrip("/").partition("/")
        bucket, key = unquote(bucket), unquote(key)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.route(bucket, key, data)
        except Failure as failure:
            self.xml(f"<Error><Code>{failure.code}</Code><Message>{failure.code}</Message></Error>", failure.status)
        except OSError:
            self.xml("<Error><Code>ServiceUnavailable</Code><Message>the JSON API does not answer</Message></Error>", 503)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    def route(self, bucket, key, data):
        query, method = self.query, self.command
        if not key and method == "GET":
            return self.list_uploads(bucket) if "uploads" in query else self.list(bucket)
        if method == "POST" and "uploads" in query:
            check_bucket(bucket)
            number = UPLOADS.start(bucket, key, self.headers)
            names = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key><UploadId>{number}</UploadId>"
            return self.xml(f"<InitiateMultipartUploadResult>{names}</InitiateMultipartUploadResult>")
        if "uploadId" in query:
            return self.upload(method, data)
        if method == "PUT" and "x-goog-copy-source" not in self.headers:
            meta = put(bucket, key, data, self.headers)
            return self.answer(200, headers=[("ETag", etag(meta)), ("x-goog-generation", str(meta["generation"]))])
        if method in ("GET", "HEAD"):
            return self.get(bucket, key)
        if method == "DELETE":
            describe(bucket, key)
            ask("DELETE", object_path(bucket, key))
            return self.answer(204)
        raise Failure(501, "NotImplemented")

    def upload(self, method, data):
        number = self.query["uploadId"]
        bucket, key, headers, parts = UPLOADS.find(number)
        if method == "PUT":
            parts[int(self.query["partNumber"])] = data
            return self.answer(200, headers=[("ETag", f'"{hashlib.md5(data).hexdigest()}"')])
        if method == "DELETE":
            UPLOADS.end(number)
            return self.answer(204)
        if method != "POST":
            raise Failure(405, "MethodNotAllowed")
        chosen = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", data)]
        if not chosen or any(n not in parts for n in chosen):
            raise Failure(400, "InvalidPart")
        meta = put(bucket, key, b"".join(parts[n] for n in chosen), headers)
        UPLOADS.end(number)
        names = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key><ETag>{escape(etag(meta))}</ETag>"
        generation = [("x-goog-generation", str(meta["generation"]))]
        return self.xml(f"<CompleteMultipartUploadResult>{names}</CompleteMultipartUploadResult>", headers=generation)

    def get(self, bucket, key):
        meta = describe(bucket, key)
        changed = datetime.fromisoformat(meta["updated"].replace("Z", "+00:00")[:19] + "+00:00").timestamp()
        headers = [("ETag", etag(meta)), ("x-goog-generation", str(meta["generation"])), ("Last-Modified", formatdate(changed, usegmt=True))]
        headers += [("Content-Type", meta.get("contentType") or "application/octet-stream")]
        headers += [(header, meta[field]) for header, field in HEADERS.items() if meta.get(field)]
        headers += [(META + name, value) for name, value in (meta.get("metadata") or {}).items()]
        if self.command == "HEAD":
            return self.answer(200, headers=headers, length=meta["size"])
        wanted = {"Range": self.headers["Range"]} if "Range" in self.headers else {}
        status, found, body = ask("GET", object_path(bucket, key) + "?alt=media", headers=wanted)
        if status == 206:
            headers.append(("Content-Range", found["Content-Range"]))
        return self.answer(status, body, headers)

    def list(self, bucket):
        names = {"prefix": "prefix", "delimiter": "delimiter", "max-keys": "maxResults", "continuation-token": "pageToken", "start-after": "startOffset"}
        asked = "&".join(f"{names[k]}={quote(v, safe='')}" for k, v in self.query.items() if k in names and v)
        status, _, body = ask("GET", f"/storage/v1/b/{quote(bucket, safe='')}/o?{asked}")
        if status != 200:
            raise Failure(404, "NoSuchBucket")
        found = json.loads(body)
        after = self.query.get("start-after")  # the JSON API's startOffset includes the name itself
        items = "".join(
            f"<Contents><Key>{escape(o['name'])}</Key><LastModified>{o['updated']}</LastModified><ETag>{escape(etag(o))}</ETag><Size>{o['size']}</Size></Contents>"
            for o in found.get("items", [])
            if o["name"] != after
        )
        items += "".join(f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in found.get("prefixes", []))
        token = found.get("nextPageToken")
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else "<IsTruncated>false</IsTruncated>"
        return self.xml(f"<ListBucketResult>{more}{items}</ListBucketResult>")

    def list_uploads(self, bucket):
        after = (self.query.get("key-marker", ""), self.query.get("upload-id-marker", ""))
        found = [upload for upload in UPLOADS.keys(bucket) if upload[0].startswith(self.query.get("prefix", "")) and upload[:2] > after]
        most = int(self.query.get("max-uploads", 1000))
        items = "".join(f"<Upload><Key>{escape(k)}</Key><UploadId>{n}</UploadId><Initiated>{t}</Initiated></Upload>" for k, n, t in found[:most])
        if len(found) > most:
            items += f"<NextKeyMarker>{escape(found[most - 1][0])}</NextKeyMarker><NextUploadIdMarker>{found[most - 1][1]}</NextUploadIdMarker>"
        items += f"<IsTruncated>{'true' if len(found) > most else 'false'}</IsTruncated>"
        return self.xml(f"<ListMultipartUploadsResult>{items}</ListMultipartUploadsResult>")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", PORT), Handler).serve_forever()
