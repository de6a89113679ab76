default['dockgate']['package'] = '/var/cache/dockgate.deb'
default['dockgate']['address'] = '0.0.0.0:443'
default['dockgate']['certificate'] = '/etc/ssl/certs/docker_registry.crt'
default['dockgate']['key'] = '/etc/ssl/private/docker_registry.key'
default['dockgate']['upstream'] = nil
default['dockgate']['users'] = { 'data_bag' => 'dockgate', 'item' => 'users' }
