# Varnish as a cache, set up to win: everything is kept for a day, whatever the recorded answer says, and it adds no
# headers of its own.
vcl 4.1;

backend origin {
    .host = "@HOST@";
    .port = "@PORT@";
}

sub vcl_recv {
    return (hash);
}

sub vcl_backend_response {
    set beresp.ttl = 24h;
    set beresp.uncacheable = false;
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    unset resp.http.Age;
    unset resp.http.Accept-Ranges;
}
