#!/bin/sh
# An API server as small as can be: one HTTP request on standard input, its answer on standard output. The Node n1 is there;
# of other objects it keeps what was last created or applied as status. Each request is noted in /tmp/requests, with the
# profile it names.
IFS=' ' read -r method path version
path=${path%%\?*}
length=0
while IFS=': ' read -r name value; do
    name=$(echo "$name" | tr -d '\r' | tr A-Z a-z)
    [ -n "$name" ] || break
    [ "$name" != content-length ] || length=$(echo "$value" | tr -d '\r')
done
body=$(head -c "$length")
echo "$method $path $(echo "$body" | grep -o '"hookProfile":"[^"]*"' | cut -d'"' -f4)" | sed 's/ $//' >>/tmp/requests

answer() {
    printf 'HTTP/1.1 %s -\r\nContent-Type: application/json\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' \
        "$1" "${#2}" "$2"
}

stored=/tmp/object-${path##*/}
case "$method $path" in
"GET /api/v1/nodes/n1") answer 200 '{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"u"}}' ;;
GET*)
    if [ -e "$stored" ]; then
        answer 200 "$(cat "$stored")"
    else
        answer 404 '{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","message":"no","code":404}'
    fi
    ;;
POST*)
    name=$(echo "$body" | grep -o '"name":"[^"]*"' | head -n 1 | cut -d'"' -f4)
    case "$path" in */lsmhookprofiles) echo "$body" >"/tmp/object-$name" ;; esac
    answer 201 "$body"
    ;;
"PATCH "*/status)
    # Server-side apply keeps the owner with which the object was created.
    owner='"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n1","uid":"u"}]'
    echo "$body" | sed "s/\"metadata\":{/&$owner,/" >/tmp/object-n1
    answer 200 "$body"
    ;;
*) answer 405 '{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"MethodNotAllowed","message":"no","code":405}' ;;
esac
