# The package, its users, its configuration, its service.

settings = node['dockgate']

dpkg_package 'dockgate' do
  source settings['package']
end

htpasswd = '/etc/dockgate/htpasswd'

file htpasswd do
  owner 'root'
  group 'dockgate'
  mode '0640'
  action :create_if_missing
end

users = data_bag_item(settings['users']['data_bag'], settings['users']['item'])
users.to_h.reject { |name, _| %w(id chef_type data_bag).include?(name) }.each do |name, password|
  # dockgate htpasswd -v: 0 when this is the password already.
  execute "password of #{name}" do
    command ['/usr/bin/dockgate', 'htpasswd', '-i', htpasswd, name]
    input password
    sensitive true
    not_if do
      shell_out('/usr/bin/dockgate', 'htpasswd', '-v', '-i', htpasswd, name, input: password).exitstatus.zero?
    end
  end
end

template '/etc/dockgate/proxy.toml' do
  source 'proxy.toml.erb'
  owner 'root'
  group 'dockgate'
  mode '0640'
  variables(settings: settings, htpasswd: htpasswd)
  # Nothing that dockgate would refuse takes the old one's place; the key stands in the unit.
  verify "DOCKGATE_LISTENER_TLS_KEY=#{settings['key']} /usr/bin/dockgate check %{path}"
  notifies :reload, 'service[dockgate]'
end

# systemd reads the key as root at each start and shows it to the service alone.
systemd_unit_drop_in = '/etc/systemd/system/dockgate.service.d'

directory systemd_unit_drop_in

file "#{systemd_unit_drop_in}/key.conf" do
  content <<~UNIT
    [Service]
    LoadCredential=tls.key:#{settings['key']}
    Environment=DOCKGATE_LISTENER_TLS_KEY=%d/tls.key
  UNIT
  notifies :run, 'execute[systemctl daemon-reload]', :immediately
  notifies :restart, 'service[dockgate]'
end

execute 'systemctl daemon-reload' do
  action :nothing
end

service 'dockgate' do
  supports reload: true
  action [:enable, :start]
end
