#!/bin/sh
# The `router` command of a server: runs it as the service's user, with the service's settings. Run it as root:
#     install -m 0755 deploy/router.sh /usr/local/bin/router
# The user cannot read files in root's folders, and cannot write to most folders. Let the shell open such a file:
#     router flows apply - --yes < flows.toml
exec runuser -u router -- env ROUTER_CONFIG=/etc/router/router.toml /opt/router/bin/router "$@"
